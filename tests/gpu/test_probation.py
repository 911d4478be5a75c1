"""How a profile earns and loses trust, over every state and every event."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.errors import Reason
from zoetrope.gpu.probation import (
    MOST_UNCLEAN,
    SOAK_SECONDS,
    SOAK_STAGES,
    Pardon,
    Record,
    Released,
    Soaked,
    Taken,
    Trouble,
    TroubleAtStock,
    Trust,
    Unclean,
    after,
    fresh,
    told,
)

WHY = Reason("gpu-xid", "Xid 13.", "See dmesg.")
EVENTS = (
    Taken(),
    Soaked(500.0),
    Trouble(WHY),
    Unclean(),
    Released(),
    Pardon(),
    TroubleAtStock("gpu-xid"),
)
events = st.lists(st.sampled_from(EVENTS), max_size=40)


def run(happened, record=None):
    record = record or Record(fingerprint="f")
    for now, event in enumerate(happened):
        record = after(record, event, float(now))
    return record


# What each event makes of each trust, for a record with nothing else behind it.
EXPECTED = {
    (Trust.UNTRIED, Taken): Trust.UNPROVEN,
    (Trust.UNTRIED, Trouble): Trust.DISABLED,
    (Trust.UNPROVEN, Trouble): Trust.DISABLED,
    (Trust.UNPROVEN, Pardon): Trust.UNTRIED,
    (Trust.PROVEN, Trouble): Trust.DISABLED,
    (Trust.PROVEN, Pardon): Trust.UNTRIED,
    (Trust.DISABLED, Pardon): Trust.UNTRIED,
}


@pytest.mark.parametrize(("trust", "event"), list(itertools.product(Trust, EVENTS)))
def test_every_event_in_every_state(trust, event):
    record = Record(fingerprint="f", trust=trust, why=WHY if trust is Trust.DISABLED else None)
    assert after(record, event, 9.0).trust is EXPECTED.get((trust, type(event)), trust)


def test_enough_real_work_makes_it_proven():
    each = SOAK_SECONDS / SOAK_STAGES
    record = run([Taken(), *[Soaked(each)] * (SOAK_STAGES - 1)])
    assert record.trust is Trust.UNPROVEN
    assert run([Soaked(each)], record).trust is Trust.PROVEN


def test_many_short_stages_alone_do_not():
    assert run([Taken(), *[Soaked(1.0)] * (SOAK_STAGES * 10)]).trust is Trust.UNPROVEN


def test_one_long_stage_alone_does_not():
    assert run([Taken(), Soaked(SOAK_SECONDS * 10)]).trust is Trust.UNPROVEN


def test_unclean_ends_count_only_in_a_row():
    assert run([Taken(), *[Unclean(), Released()] * 10]).trust is Trust.UNPROVEN
    barred = run([Taken(), *[Unclean()] * MOST_UNCLEAN])
    assert barred.trust is Trust.DISABLED
    assert "in a row" in barred.why.sentence


@given(events)
def test_nothing_but_a_pardon_ends_a_bar(happened):
    record = run([Taken(), Trouble(WHY)])
    later = run([event for event in happened if not isinstance(event, Pardon)], record)
    assert later.trust is Trust.DISABLED
    assert later.why == WHY


@given(events)
def test_trust_is_only_had_after_enough_work_since_the_last_pardon(happened):
    record = run(happened)
    since = []
    for event in happened:
        since = [] if isinstance(event, Pardon) else [*since, event]
    if record.trust is Trust.PROVEN:
        soaked = [event for event in since if isinstance(event, Soaked)]
        assert len(soaked) >= SOAK_STAGES
        assert sum(event.seconds for event in soaked) >= SOAK_SECONDS
        assert not any(isinstance(event, Trouble) for event in since)


@given(events)
def test_a_barred_profile_always_says_why_and_is_never_usable(happened):
    record = run(happened)
    assert record.usable is (record.trust is not Trust.DISABLED)
    assert (record.trust is Trust.DISABLED) == (record.why is not None)
    reason = told("baseline", record)
    assert (reason is None) == (record.trust is Trust.PROVEN)
    if record.trust is Trust.DISABLED:
        assert "zoetrope gpu apply baseline" in reason.next_step


def test_the_same_trouble_at_stock_makes_it_perhaps_innocent():
    record = run([Taken(), Trouble(WHY), TroubleAtStock("gpu-other")])
    assert "innocent" not in told("p", record).next_step
    record = run([TroubleAtStock("gpu-xid")], record)
    assert "may not be the cause" in told("p", record).next_step
    assert record.trust is Trust.DISABLED


def test_other_figures_begin_anew():
    proven = Record(fingerprint="f", trust=Trust.PROVEN)
    assert fresh(proven, "f", 1.0) is proven
    assert fresh(proven, "g", 1.0) == Record(fingerprint="g", since=1.0)
    assert fresh(None, "g", 1.0).trust is Trust.UNTRIED


def test_people_read_other_words_than_the_values_that_stay():
    assert {trust.value: trust.word for trust in Trust} == {
        "untried": "untried",
        "on probation": "unproven",
        "trusted": "proven",
        "barred": "disabled",
    }
