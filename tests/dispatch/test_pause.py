"""Why no stage starts, as a value; and when an idle engine's memory is freed."""

import pytest

from zoetrope.dispatch.idle import Idleness, is_due, seen
from zoetrope.dispatch.pause import (
    Pause,
    RunNow,
    clock_time,
    next_look,
    outside_hours,
    standstill,
)
from zoetrope.domain.hours import parse

HOUR = 3600.0
NIGHT = parse("22:00-07:00")
NOON = 1_764_244_800.0 - 1_764_244_800.0 % 86_400 + 12 * HOUR


def utc(_: float) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("pause", "hours", "by_user", "until", "says"),
    [
        (None, None, None, None, ""),
        (None, parse("08:00-20:00"), None, None, ""),
        (Pause(since=1.0), None, True, None, "Paused by a user: no stage starts."),
        (Pause(since=1.0, until=NOON + HOUR), None, True, NOON + HOUR, "user until 13:00:"),
        (Pause(since=1.0, until=NOON), None, None, None, ""),
        (None, NIGHT, False, NOON + 10 * HOUR, "(22:00-07:00): the next stage starts at 22:00."),
        # A pause that ends outside the hours ends with their beginning.
        (Pause(since=1.0, until=NOON + HOUR), NIGHT, True, NOON + 10 * HOUR, "until 22:00:"),
        # One that is over leaves the hours.
        (Pause(since=1.0, until=NOON - 1), NIGHT, False, NOON + 10 * HOUR, "working hours"),
    ],
)
def test_a_standstill_says_why_and_until_when(pause, hours, by_user, until, says):
    found = standstill(pause, hours, NOON, utc)
    if by_user is None:
        assert found is None
        return
    assert (found.by_user, found.until) == (by_user, until)
    assert says in found.reason.sentence
    assert found.reason.next_step


@pytest.mark.parametrize(
    ("said", "now", "runs"),
    [
        (0, 1, True),
        (0, 9.99, True),
        (0, 10, False),  # the hours begin
        (0, 20, False),  # and have ended again
        (11, 20, False),  # said within the hours
        (20, 21, True),
        (20, 20 + 13.5, True),
        (20, 20 + 24, False),
        (30, 1, True),  # said by a clock that was ahead: no longer than from now on
        (1000, 11, False),
    ],
)
def test_stages_run_outside_the_hours_until_these_begin(said, now, runs):
    at = NOON + now * HOUR
    run_now = RunNow(since=NOON + said * HOUR)
    found = outside_hours(run_now, NIGHT, at, utc)
    assert (found is not None) is runs
    within = NIGHT.contain((at + utc(at)) % 86_400)
    assert (standstill(None, NIGHT, at, utc, run_now) is None) is (runs or within)
    if found is not None:
        assert "until they begin at 22:00" in found.sentence
    # A pause is one all the same.
    assert standstill(Pause(since=1.0), NIGHT, at, utc, run_now).by_user
    assert outside_hours(run_now, None, at, utc) is None


def test_the_next_look_is_at_the_end_of_a_standstill_and_never_far_away():
    soon = Pause(since=1.0, until=NOON + 7)
    assert next_look(soon, None, NOON, utc, longest=30) == 7
    assert next_look(Pause(since=1.0), None, NOON, utc, longest=30) == 30
    assert next_look(None, NIGHT, NOON, utc, longest=30) == 30
    assert next_look(None, None, NOON, utc, longest=30) == 30


def test_a_moment_of_another_day_is_written_with_its_date():
    assert clock_time(NOON + HOUR, NOON, lambda _: 2 * HOUR) == "15:00"
    assert clock_time(NOON + 25 * HOUR, NOON, utc).endswith("-28 13:00")


IDLE = Idleness(since=100.0)


@pytest.mark.parametrize(
    ("idle", "after", "paused", "due"),
    [
        (IDLE, 600.0, False, True),
        (Idleness(since=101.0), 600.0, False, False),
        (Idleness(since=100.0, freed=True), 600.0, False, False),
        (IDLE, None, False, False),
        # Whoever pauses wants the GPU: at once, whatever is set.
        (Idleness(since=699.0), 600.0, True, True),
        (IDLE, None, True, True),
        (Idleness(since=100.0, freed=True), 600.0, True, False),
        # Something runs there.
        (Idleness(since=699.9, busy=True), 600.0, True, False),
        (Idleness(since=1.0, busy=True), 600.0, False, False),
    ],
)
def test_memory_is_freed_once_after_a_while_or_at_once_in_a_standstill(idle, after, paused, due):
    assert is_due(idle, 700.0, after=after, standstill=paused) is due


def test_prompts_of_others_begin_the_wait_anew_and_ours_need_the_memory_again():
    freed = Idleness(since=1.0, freed=True)
    assert seen(freed, 9.0, ours=0, others=0) == freed
    assert seen(IDLE, 200.0, ours=0, others=1) == Idleness(since=200.0, busy=True)
    assert seen(Idleness(since=200.0, busy=True), 201.0, ours=0, others=0) == Idleness(since=200.0)
    assert seen(freed, 9.0, ours=0, others=1) == Idleness(since=9.0, busy=True, freed=True)
    assert seen(freed, 9.0, ours=1, others=0) == Idleness(since=9.0, busy=True)
