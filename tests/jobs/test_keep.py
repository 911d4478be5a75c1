"""What retention lets go, as a decision over values."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.jobs.keep import (
    DAY,
    GIGABYTE,
    YOUNG,
    Count,
    KeepBook,
    Kept,
    KeptKind,
    KeptThing,
    RemovalReason,
    aged,
    announced,
    days,
    described,
    due_removals,
    elapsed,
    next_removal,
    sums,
    written,
)
from zoetrope.settings import KeepSettings

DEFAULT = KeepSettings()


def found(name: str = "a", *, kind: KeptKind = KeptKind.WORK, **more) -> KeptThing:
    return KeptThing(kind=kind, name=name, **{"mark": "1", "size": 1000, **more})


def kept(name: str = "a", age: float = 0.0, **more) -> Kept:
    return Kept(found=found(name, **more), age=age)


things = st.builds(
    kept,
    name=st.text("abcdef", min_size=1, max_size=3),
    age=st.floats(0, 200 * DAY),
    kind=st.sampled_from(KeptKind),
    size=st.integers(0, 40 * GIGABYTE),
    held=st.booleans(),
)
settings = st.builds(
    KeepSettings,
    work_days=st.sampled_from([0, 1, 14]),
    work_gigabytes=st.sampled_from([0, 10, 50]),
    rejected_days=st.sampled_from([0, 90]),
    outbox_days=st.sampled_from([0, 30]),
)


@given(st.lists(things, max_size=30), settings)
def test_what_is_held_or_young_stays_and_the_rest_goes_oldest_first(all_of_them, keep):
    going = due_removals(all_of_them, keep)
    gone = [removal.kept for removal in going]
    assert not any(each.found.held for each in gone)
    ages = [each.age for each in gone]
    assert ages == sorted(ages, reverse=True)
    for removal in going:
        limit = days(removal.kept.found.kind, keep) * DAY
        if removal.why is RemovalReason.AGE:
            assert limit
            assert removal.kept.age >= limit
        else:
            assert removal.kept.found.kind is KeptKind.WORK
            assert removal.kept.age >= YOUNG
    left = list(all_of_them)
    for each in gone:
        left.remove(each)
    for each in left:
        limit = days(each.found.kind, keep) * DAY
        assert each.found.held or not limit or each.age < limit
    # Under the limit, or nothing is left that may go.
    loose = [each for each in left if each.found.kind is KeptKind.WORK and not each.found.held]
    if keep.work_gigabytes and sum(e.found.size for e in loose) > keep.work_gigabytes * GIGABYTE:
        assert all(each.age < YOUNG for each in loose)
    # Nothing went for room while something older could have gone.
    for_room = [removal.kept for removal in going if removal.why is RemovalReason.ROOM]
    oldest = max((each.age for each in loose if each.age >= YOUNG), default=0.0)
    assert all(each.age >= oldest for each in for_room)


@given(st.lists(things, max_size=30), settings)
def test_no_more_goes_for_room_than_has_to(all_of_them, keep):
    for_room = [
        r.kept.found.size for r in due_removals(all_of_them, keep) if r.why is RemovalReason.ROOM
    ]
    if for_room:
        gone = [removal.kept for removal in due_removals(all_of_them, keep)]
        left = list(all_of_them)
        for each in gone:
            left.remove(each)
        total = sum(
            e.found.size for e in left if e.found.kind is KeptKind.WORK and not e.found.held
        )
        assert total + for_room[-1] > keep.work_gigabytes * GIGABYTE


def test_of_things_of_one_age_the_one_that_ended_first_goes_first():
    size = 30 * GIGABYTE
    two = [kept("new", DAY, since=2.0, size=size), kept("old", DAY, since=1.0, size=size)]
    assert [r.kept.found.name for r in due_removals(two, DEFAULT)] == ["old"]


def test_finished_videos_stay_for_ever_unless_an_operator_says_otherwise():
    video = kept("cat-1", 10_000 * DAY, kind=KeptKind.OUTBOX)
    assert due_removals([video], DEFAULT) == ()
    assert len(due_removals([video], KeepSettings(outbox_days=30))) == 1


# Ages, and clocks that jump.


@given(
    wall=st.floats(-1e12, 1e12),
    last=st.floats(0, 1e12),
    steady=st.none() | st.floats(0, 10 * DAY),
)
def test_a_clock_that_jumps_makes_nothing_older_than_a_day(wall, last, steady):
    passed = elapsed(KeepBook(wall=last), wall, steady)
    if steady is None:
        assert 0 <= passed <= DAY
    else:
        assert passed == steady


def test_a_clock_fifty_years_ahead_removes_nothing():
    book = KeepBook()
    now = 1_700_000_000.0
    work = [found("a"), found("b", kind=KeptKind.REJECTED)]
    book = written(book, aged(book, work, elapsed(book, now, None)), (), now)
    for jump in (50 * 365 * DAY, -50 * 365 * DAY, 50 * 365 * DAY):
        now += jump
        seen = aged(book, work, elapsed(book, now, None))
        assert due_removals(seen, DEFAULT) == ()
        book = written(book, seen, (), now)


def test_time_that_the_service_has_seen_counts_over_restarts():
    book, now = KeepBook(), 1_700_000_000.0
    for _ in range(15):
        seen = aged(book, [found()], elapsed(book, now, None))
        book = written(book, seen, (), now)
        now += DAY
    assert [removal.why for removal in due_removals(seen, DEFAULT)] == [RemovalReason.AGE]


def test_a_thing_that_changed_is_young_again_and_what_is_gone_is_forgotten():
    book = written(KeepBook(), [kept("a", 9 * DAY), kept("b", 9 * DAY)], (), 1.0)
    seen = aged(book, [found("a", mark="2")], DAY)
    assert [each.age for each in seen] == [0.0]
    assert set(written(book, seen, (), 2.0).things[KeptKind.WORK]) == {"a"}


def test_of_a_place_that_cannot_be_looked_at_the_ages_are_kept():
    book = written(
        KeepBook(), [kept("a", 9 * DAY), kept("x", 3.0, kind=KeptKind.REJECTED)], (), 1.0
    )
    after = written(book, [kept("a", 10 * DAY)], [KeptKind.REJECTED], 2.0)
    assert after.things[KeptKind.REJECTED]["x"].age == 3.0
    assert KeptKind.REJECTED not in written(book, [], (), 2.0).things


def test_what_is_kept_is_told_with_what_goes_next():
    things = {
        KeptKind.WORK: {"1f3a9c2e" * 4: Count("1", 13 * DAY, 2 * GIGABYTE), "b": Count("1", 0, 5)},
        KeptKind.REJECTED: {"cat.png.why.txt": Count("1", 0, 7000)},
    }
    book = KeepBook(wall=1_700_000_000.0, things=things)
    assert described(sums(book)) == "1 rejected picture (7 kB), the work of 2 ended jobs (2.0 GB)"
    due = next_removal(book, DEFAULT)
    assert due is not None
    assert (due.name, due.at) == ("1f3a9c2e" * 4, 1_700_000_000.0 + DAY)
    keep = msgspec.structs.replace(DEFAULT, work_days=0, rejected_days=0)
    assert next_removal(book, keep) is None
    due = next_removal(book, msgspec.structs.replace(DEFAULT, work_days=0, rejected_days=1))
    assert announced(due).startswith("cat.png will be removed on "), "the picture, not its reason"
    numbered = msgspec.structs.replace(due, name="/in/rejected/cat.png (2).why.txt")
    assert announced(numbered).startswith("/in/rejected/cat.png will")
