"""Working hours: at which times of the local day stages may start, and when the next such time begins."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

DAY = 86_400
MINUTE = 60

# How many seconds a place's clocks are ahead of UTC at a unix time: all that hours need of a time zone.
Offset = Callable[[float], float]

_RANGE = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")


class Hours(msgspec.Struct, frozen=True):
    """Ranges of the local day in minutes after midnight, each from its start up to its end; the end may be of the next day."""

    ranges: tuple[tuple[int, int], ...]

    def contain(self, second: float) -> bool:
        """Tell whether a second of the local day lies in one of the ranges."""
        minute = second / MINUTE
        return any(
            start <= minute < end if start < end else minute >= start or minute < end
            for start, end in self.ranges
        )


def parse(text: str) -> Hours:
    """Read "22:00-07:00, 12:00-13:30"; a ValueError says what is wrong with it."""
    ranges = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"{part.strip()!r} is not a range like 22:00-07:00")
        hour, minute, end_hour, end_minute = (int(each) for each in found.groups())
        start, end = hour * 60 + minute, end_hour * 60 + end_minute
        if minute > 59 or end_minute > 59 or start >= 1440 or end > 1440:
            raise ValueError(f"{part.strip()!r} is not between 00:00 and 24:00")
        if start == end % 1440 and (start, end) != (0, 1440):
            raise ValueError(
                f"{part.strip()!r} starts when it ends; for the whole day: 00:00-24:00"
            )
        ranges.append((start, end))
    return Hours(tuple(ranges))


def is_open(hours: Hours, now: float, offset: Offset) -> bool:
    """Tell whether a unix time lies in the hours."""
    return hours.contain((now + offset(now)) % DAY)


def opens(hours: Hours, now: float, offset: Offset) -> float:
    """Give the first unix time from now on that lies in the hours."""
    while not is_open(hours, now, offset):
        here = offset(now)
        second = (now + here) % DAY
        # Rounded: hours begin at whole seconds, of which a float's sums may miss a millionth.
        start = round(now + min((start * MINUTE - second) % DAY for start, _ in hours.ranges))
        if offset(start) == here:
            return float(start)
        # The clocks are changed before: the hours may begin at that very moment, or in another distance.
        now = _change(now, start, offset)
    return now


def _change(before: float, after: float, offset: Offset) -> float:
    """Find the first whole second with another offset than `before` has; clocks change at whole seconds."""
    low, high, here = int(before), int(-(-after // 1)), offset(before)
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle) == here:
            low = middle
        else:
            high = middle
    return float(high)
