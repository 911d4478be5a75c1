"""Whether stages start: a user's pause, the working hours, and a user who wants them now; pure functions of the clock."""

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


class RunNow(msgspec.Struct, frozen=True, kw_only=True):
    """A user wants stages to start outside the working hours, from some moment until the hours begin the next time."""

    since: Moment


class OutsideHours(msgspec.Struct, frozen=True, kw_only=True):
    """Stages start outside the working hours because a user said so: since when, and until the hours begin."""

    sentence: str
    since: float
    until: float


class Standstill(msgspec.Struct, frozen=True, kw_only=True):
    """No stage starts: why, and from when on one does; None where a user has to say so."""

    reason: Reason
    by_user: bool
    since: float | None = None
    until: float | None = None


def is_paused(pause: Pause | None, now: float) -> bool:
    """Return whether a pause is one at a moment."""
    return pause is not None and (pause.until is None or now < pause.until)


def outside_hours(
    run_now: RunNow | None, hours: Hours | None, now: float, offset: Offset
) -> OutsideHours | None:
    """Say that stages start outside the hours; None within them, and since they began after a user wanted it."""
    if run_now is None or hours is None:
        return None
    # A clock that was ahead when it was said must not make it last longer.
    until = opens(hours, min(run_now.since, now), offset)
    if now >= until:
        return None
    return OutsideHours(
        sentence=f"Runs outside the working hours ({shown(hours)}) as a user wants, until they begin at"
        f" {clock_time(until, now, offset)}.",
        since=run_now.since,
        until=until,
    )


def standstill(
    pause: Pause | None,
    hours: Hours | None,
    now: float,
    offset: Offset,
    run_now: RunNow | None = None,
) -> Standstill | None:
    """Say why no stage starts now; None where stages do."""
    opening = opens(hours, now, offset) if hours is not None else now
    if pause is not None and is_paused(pause, now):
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
    if outside_hours(run_now, hours, now, offset) is not None:
        return None
    if hours is not None and not is_open(hours, now, offset):
        return Standstill(
            reason=Reason(
                "hours",
                f"Outside the working hours ({shown(hours)}): the next stage starts at"
                f" {clock_time(opening, now, offset)}.",
                "To run now all the same: zoetrope resume --now. For other hours, change jobs.hours and reload.",
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
