"""When an idle engine gives its GPU's memory back: as a value decided from what was seen of it."""

from __future__ import annotations

import msgspec


class Idleness(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of an engine's idleness."""

    since: float  # when something was last seen to run or wait there, whoever sent it
    busy: bool = False  # something does
    freed: bool = False  # since something of ours ran


def seen(before: Idleness, now: float, *, ours: int, others: int) -> Idleness:
    """Take down how many prompts of ours and of others an engine has now."""
    if ours:
        return Idleness(since=now, busy=True)
    if others:
        return msgspec.structs.replace(before, since=now, busy=True)
    return msgspec.structs.replace(before, busy=False)


def is_due(idle: Idleness, now: float, *, after: float | None, standstill: bool) -> bool:
    """Tell whether the memory is to be freed now; `after` is in seconds, and None is never.

    In a standstill nothing of ours comes for a while, and whoever paused wants the GPU: then at once.
    """
    if idle.freed or idle.busy:
        return False
    return standstill or (after is not None and now - idle.since >= after)
