"""The policy: which waiting job which worker takes next, and why; a pure function of what waits and who works."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..domain.query import Waiting, is_due
from ..graphs.memory import sold_with


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's worker, as far as the policy is about it."""

    name: str
    up: bool
    # Of its GPU; 0 where the engine does not say, None before it did.
    gigabytes: float | None = None
    held: int = 0  # prompts that its engine has
    depth: int = 1  # as many as it takes: those beyond the first wait at the engine

    @property
    def has_room(self) -> bool:
        """Whether its engine takes another prompt."""
        return self.up and self.held < self.depth


class Assign(msgspec.Struct, frozen=True):
    """A worker takes a job."""

    job: str
    worker: str
    reason: str


class Stay(msgspec.Struct, frozen=True):
    """No job is assigned."""

    reason: str


Decision = Assign | Stay


def choose(waiting: Sequence[Waiting], workers: Sequence[Worker], now: float) -> Decision:
    """Choose the next job: the highest priority, then the first to arrive; an idle worker before a busy one."""
    due = [job for job in waiting if is_due(job.not_before, now)]
    for job in sorted(due, key=lambda job: (-job.priority, job.seq)):
        able = [worker for worker in workers if worker.has_room and fits(job, worker)]
        if able:
            chosen = min(able, key=lambda worker: worker.held)
            return Assign(job.id, chosen.name, _reason(job, chosen))
    if not due:
        return Stay("no job is due")
    if not any(worker.has_room for worker in workers):
        return Stay("no worker has room")
    return Stay("no worker with room has a GPU of the size that a job's plan needs")


def fits(job: Waiting, worker: Worker) -> bool:
    """Tell whether a worker's GPU has the memory that a begun job's plan is made for."""
    if worker.gigabytes is None:
        return job.ran_on == 0
    # A plan for 16 GB may have run on 12: then a GPU like that one has enough.
    return worker.gigabytes >= job.ran_on or sold_with(job.memory, worker.gigabytes)


def too_large(waiting: Sequence[Waiting], workers: Sequence[Worker]) -> tuple[Waiting, ...]:
    """Name the jobs that no worker's GPU has the memory for; one that was not asked yet may have it."""
    if any(worker.gigabytes is None for worker in workers):
        return ()
    return tuple(job for job in waiting if not any(fits(job, worker) for worker in workers))


def _reason(job: Waiting, worker: Worker) -> str:
    line = f"it has priority {job.priority}" if job.priority else "it waits the longest"
    free = "is idle" if not worker.held else "has room for one more"
    return f"{line}, and {worker.name} {free}"
