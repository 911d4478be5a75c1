"""What watcher and intake do now, for health and the page."""

from __future__ import annotations

import msgspec

from ..errors import Reason


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the watcher sees now, and what is in its way."""

    mode: str = "none"  # "inotify", "poll", or "none" while the inbox cannot be watched
    file_system: str = "unknown"
    polled: tuple[str, ...] = ()  # folders on other file systems, polled in addition to inotify
    last_scan: float | None = None  # wall clock
    scanning_seconds: float = 0.0  # how long the scan that runs now has taken
    files: int = 0  # seen and not yet taken
    problem: Reason | None = None
    unreadable: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()  # tickets that no picture uses


class Held(msgspec.Struct, frozen=True):
    """A picture that waits for something that is not its own fault."""

    name: str
    reason: Reason


class IntakeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the intake does now, and what it has done since the start."""

    problem: Reason | None = None  # nothing is taken while this stands
    notice: Reason | None = None  # to be fixed, though pictures are taken
    held: tuple[Held, ...] = ()
    busy: int = 0
    later: int = 0  # to be looked at again
    accepted: int = 0  # since the start
    refused: int = 0
