"""A question after jobs: which ones, from where on, how many; and what a job is found by."""

from __future__ import annotations

import msgspec

from .job import Job, State

NEWEST = 2**62  # above every place in the ledger


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


def words(job: Job) -> str:
    """Give what a job is found by: its id, names and prompt, without regard to upper and lower case."""
    names = (job.stem, job.folder, *(still.name for still in job.stills), job.ticket.name or "")
    return "\n".join((job.id, *dict.fromkeys(names), job.ticket.prompt or "")).casefold()
