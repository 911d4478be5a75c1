"""Why no stage starts although jobs wait: a user's pause, or the working hours; pure functions of the clock."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from ..domain.hours import DAY, Hours, Offset, is_open, opens
from ..errors import Reason

# A clock beyond these is broken, and nothing is shown of it.
Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class Pause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user's pause: since when, and until when; None is until it is ended."""

    since: Moment
    until: Moment | None = None


class Standstill(msgspec.Struct, frozen=True, kw_only=True):
    """No stage starts: why, and from when on one does; None where a user has to say so."""

    reason: Reason
    by_user: bool
    since: float | None = None
    until: float | None = None


def standstill(
    pause: Pause | None, hours: Hours | None, now: float, offset: Offset
) -> Standstill | None:
    """Say why no stage starts now; None where stages do."""
    opening = opens(hours, now, offset) if hours is not None else now
    if pause is not None and (pause.until is None or now < pause.until):
        if pause.until is None:
            ends, until = "", None
        else:
            # Where the pause ends outside the hours, nothing starts before they begin.
            until = opens(hours, pause.until, offset) if hours is not None else pause.until
            ends = f" until {clock_time(until, now, offset)}"
        return Standstill(
            reason=Reason(
                "paused",
                f"Paused by a user{ends}: no stage starts.",
                "Resume on the page or with: zoetrope resume",
            ),
            by_user=True,
            since=pause.since,
            until=until,
        )
    if hours is not None and not is_open(hours, now, offset):
        return Standstill(
            reason=Reason(
                "hours",
                f"Outside the working hours ({shown(hours)}): the next stage starts at"
                f" {clock_time(opening, now, offset)}.",
                "For other hours, change jobs.hours and reload.",
            ),
            by_user=False,
            until=opening,
        )
    return None


def next_look(
    pause: Pause | None, hours: Hours | None, now: float, offset: Offset, *, longest: float
) -> float:
    """Say in how many seconds to look again: at the end of a standstill, and often enough to see its begin."""
    found = standstill(pause, hours, now, offset)
    if found is not None and found.until is not None:
        return min(longest, max(0.0, found.until - now))
    return longest


def shown(hours: Hours) -> str:
    """Write hours as the settings do."""
    return ", ".join(f"{_digits(start)}-{_digits(end)}" for start, end in hours.ranges)


def clock_time(moment: float, now: float, offset: Offset) -> str:
    """Write a moment as the local clock shows it, with its date where that is not clear."""
    there = time.gmtime(moment + offset(moment))
    return time.strftime("%H:%M" if abs(moment - now) < DAY else "%Y-%m-%d %H:%M", there)


def _digits(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
