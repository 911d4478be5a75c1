"""What a store of jobs promises, whatever it keeps them in.

Every form holds to these sentences, and tests/store/test_contract.py compares the forms:

- What an awaited call wrote is durable, as far as the form can keep anything at all.
- What is read is equal to what was written, and an object of its own. A job that would not be read back equal
  is rejected (Unkept) before anything is written.
- A call that raises has written nothing. One that is cancelled may have written, wholly; listeners hear of it.
- A row that nothing can be made of is in no list and hides no other; asked for by name it is UnreadableJob.
- A job that is not there is NotFound; trouble of the store itself is LedgerError or DiskFull.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ..domain.job import Job, State
from ..domain.query import JobQuery, RecentFailures, Row, Waiting
from ..errors import Reason

# Pure: from what a job was to what it is; it raises where that is not legal.
Step = Callable[[Job], Job]
Listener = Callable[[Job | None, Job], None]


class Journal(Protocol):
    """The writing side: a job is added once, and then only ever changed by a step from what it was."""

    def on_change(self, listener: Listener) -> None:
        """Call a function, on the event loop, with what each written job was before (new: None) and is now."""

    async def add(self, job: Job, *, claim: str, others: Iterable[str] = ()) -> Job:
        """Write a new job; the same claim gives the job that was written the first time.

        Other claims that are not known yet become part of that job in the same write.
        """

    async def get(self, job_id: str) -> Job:
        """Give a job by its whole id."""

    async def change(self, job_id: str, step: Step, *, claim: str | None = None) -> Job:
        """Compare and swap: read, take the step and write as one, so that no other's step is lost.

        The step may run on another thread. One that gives back its very argument writes no job and is not
        reported; the id never changes. The claim becomes part of the job in the same write.
        """

    async def publish(self, job_id: str, step: Step, made: Iterable[str]) -> Job:
        """Change a job, and remember the hashes of what it published in the same write."""

    async def claimed(self, claim: str) -> Job | None:
        """Give the job that a claim became part of."""


class JobIndex(Protocol):
    """The reading side: every answer is of one moment."""

    async def find(self, prefix: str) -> Job:
        """Give the one job whose id begins so; NotFound where there is none or several."""

    async def page(self, query: JobQuery) -> list[Row]:
        """List the jobs that a query means, newest first; a page that is not full is the last.

        Each word of its text occurs in a job's id, names or prompt, in upper or lower case.
        """

    async def all_in(self, *states: State) -> list[Job]:
        """List every job in some states, oldest first; for the few that are under way."""

    async def waiting(
        self, now: float, limit: int, *, after: Waiting | None = None
    ) -> tuple[Waiting, ...]:
        """List the queued jobs whose time has come: the highest priority first, then the first to arrive.

        A page goes on after the last one of the page before; a page that is not full is the last.
        """

    async def oldest(self, now: float, *, without: Iterable[str] = ()) -> Job | None:
        """Give the queued job that arrived first of those whose time has come, but for some ids."""

    async def soonest(self) -> float | None:
        """Say for when the first postponed job of the queue is put off; None where none is."""

    async def find_duplicate(self, fingerprint: str) -> Job | None:
        """Give the newest job of the same bytes and ticket that has not come to nothing; "" is nobody's."""

    async def find_half(self, folder: str, stem: str) -> Job | None:
        """Give the oldest job that waits for its other half there."""

    async def find_publisher(self, sha256: str) -> Job | None:
        """Give the last job that published these bytes."""

    async def counts(self) -> dict[State, int]:
        """Say how many jobs are in each state, 0 included."""

    async def tally(self) -> dict[tuple[str, State], int]:
        """Say how many jobs of each recipe are in each state; one that had some once stays, with 0."""

    async def recent_failures(self, since: float, limit: int) -> RecentFailures:
        """Count the jobs that failed or were rejected after a moment, and give the last of them to end."""

    async def accepted(self) -> dict[tuple[str, str], int]:
        """Count the jobs under way by their recipe and the version that they were accepted with."""

    async def referenced(self, versions: Iterable[str]) -> set[str]:
        """Tell which of some recipe versions a job names, ended ones included; all, while a row is unreadable.

        Asked of many jobs it is answered in pieces, so it is of no single moment.
        """


class JobStore(Journal, JobIndex, Protocol):
    """All that the service asks of its ledger: journal, index, what lasts besides the jobs, and upkeep."""

    @property
    def writes(self) -> int:
        """How many jobs this process has written; the same number means the same jobs."""

    @property
    def last_progress(self) -> float:
        """When a call last succeeded, by the monotonic clock."""

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The ids of the rows found so far that nothing can be made of, each with the reason."""

    @property
    def put_back(self) -> Reason | None:
        """What to say of a file that was deleted or replaced while it was open, and is back in its place."""

    async def remember_fallbacks(
        self, recipe: str, stage: str, size: str, card: str, fallbacks: tuple[str, ...]
    ) -> None:
        """Keep what made a stage fit, for the next job of its kind; the last one counts."""

    async def known_fallbacks(
        self, recipe: str, stage: str, size: str, card: str
    ) -> tuple[str, ...]:
        """Recall what made a stage fit; nothing where nothing was needed yet."""

    async def fact(self, name: str, make: Callable[[], str]) -> str:
        """Give a lasting fact of this store, made the first time that it is asked for."""

    async def ping(self) -> float:
        """Write something and say how many seconds that took: the proof that it can be written."""

    async def check(self) -> str | None:
        """Read all that is kept, and say what is damaged; None where nothing is."""

    async def checkpoint(self) -> None:
        """Bring all that was written into the file that people copy; nobody who reads or writes waits for it."""

    async def copy_to(self, target: Path) -> None:
        """Write a copy of all that is kept at one moment to a new file; LedgerError where there is no such form."""

    async def close(self) -> None:
        """Finish what was asked and let go; nothing is answered afterwards."""
