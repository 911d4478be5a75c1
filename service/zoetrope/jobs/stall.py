"""A stall: an engine that answers while nothing moves in its queue, so that its worker has ended or hangs: pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from ..engine.protocol import QueueEntry
from ..errors import Reason

# What to do about a process that is of no use any more.
RESTART_IT = "Restart the engine; the jobs go on by themselves. With engines.restart set, the service does that."


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine's queue has shown since a moment, without any sign that something works on it."""

    since: float
    running: tuple[str, ...]  # ids of prompts
    first: str  # the prompt that is next while nothing runs
    pool_free: int | None
    ours: bool  # the running prompt, or the next one, is from this service


def after(
    before: Stall | None,
    queue: Sequence[QueueEntry],
    *,
    pool_free: int | None,
    followed: Collection[str],
    now: float,
) -> Stall | None:
    """Say since when nothing moves, after one more look; None while something does, or nothing is to be done.

    `followed` are the prompts that a stage run follows by their events: it knows itself how long they may be silent.
    ComfyUI reports no progress of other clients' prompts, but its memory on the GPU changes while it computes. Where
    it computes on processors (no pool) there is no sign either way, and such a prompt may take for ever.
    """
    running = tuple(entry.prompt_id for entry in queue if entry.running)
    if not queue or any(prompt in followed for prompt in running):
        return None
    if running and pool_free is None and not queue[0].ours:
        return None
    seen = Stall(
        since=now,
        running=running,
        first="" if running else queue[0].prompt_id,
        pool_free=pool_free,
        ours=queue[0].ours,
    )
    if before is not None and seen == msgspec.structs.replace(before, since=now):
        return before
    return seen


def judge(found: Stall | None, engine: str, *, now: float, limit: float) -> Reason | None:
    """Say what is wrong with an engine whose queue stalls for longer than any work takes; None until then."""
    if found is None or now - found.since <= limit:
        return None
    span = f"for {limit / 60:.0f} min"
    if found.running and found.ours:
        what = f"has not ended a prompt {span} that it was asked to interrupt"
    elif found.running:
        what = f"has made no progress {span} with a prompt of another client"
    else:
        what = f"has not begun any of the prompts in its queue {span}"
    return Reason(
        "engine-stuck",
        f"{engine} answers but {what}: its worker has ended or hangs.",
        RESTART_IT,
    )
