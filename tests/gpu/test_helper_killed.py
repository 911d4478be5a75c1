"""The helper killed at every step: afterwards a card is at stock or in the full profile, never between."""

import pytest

from tests.fakes.nvml.simulated import uid
from zoetrope.gpu import wire
from zoetrope.gpu.probation import Trust

pytestmark = pytest.mark.system("gcc")

CARD = uid(0)
STOCK = (0, 0, 575)
BASELINE = (2700, 300, 450)
STEPS = 3  # of the profile `baseline`


def trust(helper):
    (card,) = helper.ask(wire.StatusRequest()).cards
    return card.profile("baseline").record


@pytest.mark.parametrize("when", ["kill_before", "kill_after"])
@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_killed_at_a_step_of_an_apply(helper, when, number):
    found = helper(**{when: number})
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    assert found.died()
    found.start()
    assert found.simulated.tuning() == STOCK
    assert trust(found).unclean == 1
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    assert found.simulated.tuning() == BASELINE


@pytest.mark.parametrize("when", ["kill_before", "kill_after"])
@pytest.mark.parametrize("number", range(STEPS + 1, 2 * STEPS + 1))
def test_killed_at_a_step_of_a_reset(helper, when, number):
    found = helper(**{when: number})
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    found.ask(wire.Reset(card=CARD))
    assert found.died()
    found.start()
    assert found.simulated.tuning() == STOCK


@pytest.mark.parametrize("when", ["kill_before", "kill_after"])
@pytest.mark.parametrize("number", range(STEPS + 1, 2 * STEPS + 1))
def test_killed_again_while_it_puts_the_card_back_at_its_start(helper, when, number):
    found = helper(**{when: number})
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    found.kill()
    found.start(ready=False)
    assert found.died()
    found.start()
    assert found.simulated.tuning() == STOCK
    # One end left it tuned; that the next one was hindered in mending it is not the profile's doing.
    assert trust(found).unclean == 1


@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_what_systemd_runs_after_it_puts_the_card_back_at_once(helper, number):
    found = helper(kill_after=number)
    found.ask(wire.Apply(card=CARD, profile="baseline"))
    assert found.died()
    done = found.restore()
    assert done.returncode == 0, done.stderr
    assert found.simulated.tuning() == STOCK
    found.start()
    assert trust(found).unclean == 1


def test_a_kill_between_two_requests_is_an_unclean_end_and_two_in_a_row_bar(helper):
    found = helper()
    for _ in range(2):
        line = found.connect()
        assert line.ask(wire.Work(card=CARD)).reason is None
        found.kill()
        line.close()
        found.start()
        assert found.simulated.tuning() == STOCK
    assert trust(found).trust is Trust.DISABLED
    line = found.connect()
    assert line.ask(wire.Work(card=CARD)).reason.key == "gpu-barred"
    assert found.simulated.tuning() == STOCK
    line.close()
    # And it stays barred, whatever else happens, until a person says otherwise.
    found.stop()
    found.start()
    assert trust(found).trust is Trust.DISABLED
    assert found.ask(wire.Apply(card=CARD, profile="baseline")).reason is None
    assert found.simulated.tuning() == BASELINE


def test_a_clean_end_in_between_begins_the_count_anew(helper):
    found = helper()
    for clean in (False, True, False, True):
        line = found.connect()
        assert line.ask(wire.Work(card=CARD)).reason is None
        if clean:
            found.stop()
        else:
            found.kill()
        line.close()
        found.start()
    assert trust(found).trust is Trust.UNPROVEN
    assert trust(found).unclean == 0
