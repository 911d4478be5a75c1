"""A question after jobs: which ones, from where on, how many; and what a job is found by."""

from __future__ import annotations

import msgspec

from .job import Job, State

NEWEST = 2**62  # above every place in the ledger
# Nothing is postponed by more than minutes. What seems to be was written under a clock far ahead of this one.
FARTHEST = 3600.0
ENDED_BADLY = (State.FAILED, State.REJECTED)


class JobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted, newest first; what is left out does not matter."""

    states: tuple[State, ...] = ()
    recipe: str = ""
    text: str = ""  # each of its words has to occur
    limit: int = 50
    before: int = NEWEST  # the smallest place of the page before


class Row(msgspec.Struct, frozen=True):
    """A job with its place in the store; `seq` grows with every arrival and serves as page cursor."""

    seq: int
    job: Job


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A queued job as far as the order of the queue is about it."""

    id: str
    seq: int  # grows with every arrival
    created: float
    priority: int
    recipe: str
    stage: str  # the one that an engine would take; "" if none is left
    # Gigabytes of the class of GPUs that its plan is made for; 0 while it may be made anew.
    memory: int
    ran_on: float  # gigabytes of the GPU that its first stage ran on, as reported; 0 before that
    not_before: float


class RecentFailures(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that failed or were rejected after some moment."""

    counts: dict[State, int]  # of each state of ENDED_BADLY, 0 included
    last: tuple[Job, ...]  # a few of them, the last one to end first


def is_due(not_before: float, now: float) -> bool:
    """Tell whether the time of a postponed job has come."""
    return not now < not_before <= now + FARTHEST


def waiting(seq: int, job: Job) -> Waiting:
    """Give what the order of the queue is decided by."""
    stage = job.stage
    return Waiting(
        id=job.id,
        seq=seq,
        created=job.created,
        priority=job.priority,
        recipe=job.ticket.recipe,
        stage=stage.name if stage else "",
        memory=job.plan.memory if job.plan and job.begun else 0,
        ran_on=job.stages[0].attempts[-1].memory if job.plan and job.begun else 0.0,
        not_before=stage.not_before if stage else 0.0,
    )


def words(job: Job) -> str:
    """Give what a job is found by: its id, names and prompt, without regard to upper and lower case."""
    names = (job.stem, job.folder, *(image.name for image in job.images), job.ticket.name or "")
    return "\n".join((job.id, *dict.fromkeys(names), job.ticket.prompt or "")).casefold()
