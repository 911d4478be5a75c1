"""Working hours as values, compared with a walk through every minute."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zoetrope.domain.hours import DAY, Hours, is_open, opens, parse


def at(text: str) -> float:
    """Give the unix time of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class Place:
    """Clocks that are changed at some moments, as the zone files describe a place."""

    def __init__(self, first: int, *changes: tuple[str, int]) -> None:
        self.first = first
        self.changes = [(at(moment), minutes) for moment, minutes in changes]

    def __call__(self, moment: float) -> float:
        minutes = self.first
        for begins, then in self.changes:
            if moment >= begins:
                minutes = then
        return 60.0 * minutes


BERLIN = Place(60, ("2026-03-29T01:00", 120), ("2026-10-25T01:00", 60))
NEW_YORK = Place(-300, ("2026-03-08T07:00", -240), ("2026-11-01T06:00", -300))
LORD_HOWE = Place(660, ("2026-04-04T15:00", 630), ("2026-10-03T15:30", 660))
KATHMANDU = Place(345)
APIA = Place(-600, ("2011-12-30T10:00", 840))  # which had no 30 December
PLACES = {
    "Berlin": (BERLIN, ["2026-03-28T20:00", "2026-10-24T20:00", "2026-06-01T00:00"]),
    "New York": (NEW_YORK, ["2026-03-07T20:00", "2026-10-31T20:00"]),
    "Lord Howe": (LORD_HOWE, ["2026-04-04T02:00", "2026-10-03T02:00"]),
    "Kathmandu": (KATHMANDU, ["2026-01-01T00:00"]),
    "Apia": (APIA, ["2011-12-29T12:00"]),
}


def walked(hours: Hours, now: float, offset) -> float:
    """Find the opening by looking at every minute."""
    if hours.contain((now + offset(now)) % DAY):
        return now
    minute = math.ceil(now / 60) * 60.0
    while not hours.contain((minute + offset(minute)) % DAY):
        minute += 60
    return minute


MINUTES = st.integers(0, 1439)
RANGES = st.tuples(MINUTES, st.integers(1, 1440)).filter(lambda pair: pair[0] != pair[1] % 1440)


@given(
    place=st.sampled_from(sorted(PLACES)),
    ranges=st.lists(RANGES, min_size=1, max_size=3),
    day=st.integers(0, 2),
    seconds=st.integers(0, 2 * DAY),
)
@example(place="Berlin", ranges=[(150, 160)], day=0, seconds=0)  # an hour that is left out
@example(place="Berlin", ranges=[(150, 160)], day=1, seconds=5 * 3600)  # and one that comes twice
@example(place="Apia", ranges=[(0, 10)], day=0, seconds=12 * 3600)
def test_the_opening_is_the_first_minute_that_lies_in_the_hours(place, ranges, day, seconds):
    offset, days = PLACES[place]
    now = at(days[day % len(days)]) + seconds
    hours = Hours(tuple(ranges))
    found = opens(hours, now, offset)
    assert found == walked(hours, now, offset)
    assert is_open(hours, found, offset)


@pytest.mark.parametrize(
    ("moment", "open_"),
    [("20:59", False), ("21:00", True), ("23:30", True), ("05:59", True), ("06:00", False)],
)
def test_hours_over_midnight_are_of_two_days(moment, open_):
    assert is_open(parse("22:00-07:00"), at(f"2026-11-27T{moment}"), BERLIN) is open_


def test_several_ranges_hold_each_for_itself():
    hours = parse("22:00-07:00, 12:00-13:30")
    assert hours == Hours(((1320, 420), (720, 810)))
    assert opens(hours, at("2026-11-27T09:00"), BERLIN) == at("2026-11-27T11:00")
    assert opens(hours, at("2026-11-27T12:30"), BERLIN) == at("2026-11-27T21:00")


def test_an_opening_that_the_clocks_jump_over_is_where_they_land():
    # From 02:00 to 03:00: at 02:30 nothing begins, at 03:00 the hours have begun.
    assert opens(parse("02:30-05:00"), at("2026-03-29T00:10"), BERLIN) == at("2026-03-29T01:00")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not a range"),
        ("22-7", "'22-7' is not a range"),
        ("22:00-07:00,", "'' is not a range"),
        ("22:00-25:00", "'22:00-25:00' is not between 00:00 and 24:00"),
        ("24:00-07:00", "not between"),
        ("10:60-11:00", "not between"),
        ("08:00-08:00", "starts when it ends"),
        ("nachts", "'nachts' is not a range"),
    ],
)
def test_what_is_no_range_is_said(text, says):
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_the_whole_day_may_be_said():
    assert is_open(parse("00:00-24:00"), at("2026-11-27T23:59"), BERLIN)
    assert parse("22:00-00:00").contain(22.5 * 3600)
