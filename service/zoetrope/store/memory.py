"""A store in memory, for tests that need a ledger and no disk: as strict as the one that lasts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..domain.job import ENDED, Job, State
from ..domain.query import (
    ENDED_BADLY,
    JobQuery,
    RecentFailures,
    Row,
    Waiting,
    is_due,
    waiting,
    words,
)
from ..errors import LedgerError, NotFound, Reason
from .protocol import Listener, Step
from .rows import Rows, same_id, unknown

T = TypeVar("T")

_CAME_TO_NOTHING = ENDED - {State.DONE}


@dataclass(frozen=True)
class _Kept:
    """A row: its place, its bytes, and the store's own reading of them, which nobody else is given."""

    seq: int
    body: bytes
    job: Job

    @property
    def due(self) -> float:
        return self.job.stage.not_before if self.job.stage else 0.0


class MemoryLedger:
    """Keeps bytes, as a file would, and makes every answer anew from them; it lasts as long as its process."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._kept: dict[str, _Kept] = {}  # by id, in the order of arrival
        self._claims: dict[str, str] = {}
        self._outputs: dict[str, str] = {}
        self._fallbacks: dict[tuple[str, str, str, str], str] = {}
        self._facts: dict[str, str] = {}
        self._tally: Counter[tuple[str, State]] = Counter()
        self._listeners: list[Listener] = []
        self._open = True
        self.writes = 0
        self.last_progress = time.monotonic()

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Always empty: nothing but this store writes what it keeps."""
        return {}

    @property
    def put_back(self) -> Reason | None:
        """Nothing: there is no file."""
        return None

    def on_change(self, listener: Listener) -> None:
        """Call a function with what each written job was before (new: None) and is now."""
        self._listeners.append(listener)

    async def add(self, job: Job, *, claim: str, others: Iterable[str] = ()) -> Job:
        """Write a new job; the same claim gives the job that was written the first time."""
        further = [_text(each) for each in others]

        def work() -> Job:
            if (known := self._claims.get(_text(claim))) is not None:
                stored = self._get(known)
                for each in further:
                    self._claims.setdefault(each, known)
                return stored
            if job.id in self._kept:
                self._rows.written(job)
                raise LedgerError(f"There is a job {job.short} already.", "Please report this.")
            self._put(len(self._kept) + 1, job)
            self._claims[claim] = job.id
            for each in further:
                self._claims.setdefault(each, job.id)
            self._tell(None, job.id)
            return self._get(job.id)

        return await self._answer(work)

    async def get(self, job_id: str) -> Job:
        """Give a job by its whole id."""
        return await self._answer(lambda: self._get(job_id))

    async def change(self, job_id: str, step: Step, *, claim: str | None = None) -> Job:
        """Take one step with a job, read, decided and written as one."""

        claims = [] if claim is None else [_text(claim)]

        def more() -> None:
            for each in claims:
                self._claims.setdefault(each, job_id)

        return await self._take(job_id, step, more)

    async def publish(self, job_id: str, step: Step, made: Iterable[str]) -> Job:
        """Take a step and remember the hashes of what was published."""
        outputs = {_text(sha256): job_id for sha256 in made}
        return await self._take(job_id, step, lambda: self._outputs.update(outputs))

    async def claimed(self, claim: str) -> Job | None:
        """Give the job that a claim became part of."""

        def work() -> Job | None:
            known = self._claims.get(claim)
            return None if known is None else self._get(known)

        return await self._answer(work)

    async def find(self, prefix: str) -> Job:
        """Give the one job whose id begins so."""

        def work() -> Job:
            # Ids are hexadecimal: what begins so lies before the prefix with a g.
            found = [name for name in self._kept if prefix <= name < f"{prefix}g"]
            if len(found) > 1:
                raise NotFound(f"{prefix!r} is the beginning of several jobs.", "Give more of it.")
            if not found or not prefix:
                raise unknown(prefix)
            return self._get(found[0])

        return await self._answer(work)

    async def page(self, query: JobQuery) -> list[Row]:
        """List the jobs that a query means, newest first."""
        looked_for = query.text.casefold().split()

        def meant(kept: _Kept) -> bool:
            return (
                kept.seq < query.before
                and (not query.states or kept.job.state in query.states)
                and (not query.recipe or kept.job.ticket.recipe == query.recipe)
                and all(word in words(kept.job) for word in looked_for)
            )

        def work() -> list[Row]:
            found = [kept for kept in reversed(self._kept.values()) if meant(kept)]
            return [Row(kept.seq, self._copy(kept)) for kept in found[: query.limit]]

        return await self._answer(work)

    async def all_in(self, *states: State) -> list[Job]:
        """List every job in some states, oldest first."""
        return await self._answer(
            lambda: [self._copy(kept) for kept in self._all() if kept.job.state in states]
        )

    async def waiting(
        self, now: float, limit: int, *, after: Waiting | None = None
    ) -> tuple[Waiting, ...]:
        """List the queued jobs whose time has come: the highest priority first, then the first to arrive."""

        def place(job: Waiting) -> tuple[int, int]:
            return -job.priority, job.seq

        def work() -> tuple[Waiting, ...]:
            found = [
                waiting(kept.seq, kept.job) for kept in self._queued() if is_due(kept.due, now)
            ]
            later = [job for job in found if after is None or place(job) > place(after)]
            return tuple(sorted(later, key=place)[:limit])

        return await self._answer(work)

    async def oldest(self, now: float, *, without: Iterable[str] = ()) -> Job | None:
        """Give the queued job that arrived first of those whose time has come, but for some ids."""
        skip = set(without)
        return await self._first(
            lambda kept: (
                kept.job.state is State.QUEUED and is_due(kept.due, now) and kept.job.id not in skip
            )
        )

    async def soonest(self) -> float | None:
        """Say for when the first postponed job of the queue is put off."""
        return await self._answer(
            lambda: min((kept.due for kept in self._queued() if kept.due > 0), default=None)
        )

    async def find_duplicate(self, fingerprint: str) -> Job | None:
        """Give the newest job of the same bytes and ticket that has not come to nothing."""
        return await self._first(
            lambda kept: (
                kept.job.fingerprint == fingerprint != "" and kept.job.state not in _CAME_TO_NOTHING
            ),
            newest=True,
        )

    async def find_half(self, folder: str, stem: str) -> Job | None:
        """Give the oldest job that waits for its other half there."""
        return await self._first(
            lambda kept: (
                kept.job.state is State.WAITING
                and (kept.job.folder, kept.job.stem) == (folder, stem)
            )
        )

    async def find_publisher(self, sha256: str) -> Job | None:
        """Give the last job that published these bytes."""

        def work() -> Job | None:
            known = self._outputs.get(sha256)
            return None if known is None else self._get(known)

        return await self._answer(work)

    async def counts(self) -> dict[State, int]:
        """Say how many jobs are in each state."""

        def work() -> dict[State, int]:
            found = Counter(kept.job.state for kept in self._all())
            return {state: found[state] for state in State}

        return await self._answer(work)

    async def tally(self) -> dict[tuple[str, State], int]:
        """Say how many jobs of each recipe are in each state."""
        return await self._answer(lambda: dict(self._tally))

    async def recent_failures(self, since: float, limit: int) -> RecentFailures:
        """Count the jobs that failed or were rejected after a moment, and give the last of them to end."""

        def work() -> RecentFailures:
            found = [
                kept
                for kept in self._all()
                if kept.job.state in ENDED_BADLY and kept.job.updated > since
            ]
            found.sort(key=lambda kept: (kept.job.updated, kept.job.state, kept.seq), reverse=True)
            number = Counter(kept.job.state for kept in found)
            return RecentFailures(
                counts={state: number[state] for state in ENDED_BADLY},
                last=tuple(self._copy(kept) for kept in found[:limit]),
            )

        return await self._answer(work)

    async def accepted(self) -> dict[tuple[str, str], int]:
        """Count the jobs under way by their recipe and the version that they were accepted with."""

        def work() -> dict[tuple[str, str], int]:
            found = (kept.job for kept in self._all() if kept.job.state not in ENDED)
            return dict(
                Counter(
                    (job.ticket.recipe, job.recipe_version) for job in found if job.recipe_version
                )
            )

        return await self._answer(work)

    async def referenced(self, versions: Iterable[str]) -> set[str]:
        """Tell which of some recipe versions a job names, ended ones included."""
        return await self._answer(
            lambda: set(versions) & {kept.job.recipe_version for kept in self._all()}
        )

    async def remember_fallbacks(
        self, recipe: str, stage: str, size: str, card: str, fallbacks: tuple[str, ...]
    ) -> None:
        """Keep what made a stage fit."""

        def work() -> None:
            self._fallbacks[(recipe, stage, size, card)] = _text(" ".join(fallbacks))

        await self._answer(work)

    async def known_fallbacks(
        self, recipe: str, stage: str, size: str, card: str
    ) -> tuple[str, ...]:
        """Recall what made a stage fit."""
        return await self._answer(
            lambda: tuple(self._fallbacks.get((recipe, stage, size, card), "").split())
        )

    async def fact(self, name: str, make: Callable[[], str]) -> str:
        """Give a lasting fact of this store."""
        return await self._answer(lambda: self._facts.setdefault(name, _text(make())))

    async def ping(self) -> float:
        """Say that nothing is slow here."""
        return await self._answer(lambda: 0.0)

    async def check(self) -> str | None:
        """Find nothing damaged."""
        return await self._answer(lambda: None)

    async def checkpoint(self) -> None:
        """Have nothing to bring anywhere."""
        await self._answer(lambda: None)

    async def copy_to(self, target: Path) -> None:
        """Say that this form has no file."""
        await self._answer(lambda: None)
        raise LedgerError(f"A store in memory is not copied to {target.name}.")

    async def close(self) -> None:
        """Let go; nothing is answered afterwards."""
        await self._answer(lambda: None)
        self._open = False

    async def _answer(self, work: Callable[[], T]) -> T:
        if not self._open:
            raise RuntimeError("The store was closed.")
        try:
            result = work()
        finally:
            # Whoever asks a real store gives way; what counted on not doing so shows here too.
            await asyncio.sleep(0)
        self.last_progress = time.monotonic()
        return result

    async def _first(self, wanted: Callable[[_Kept], bool], *, newest: bool = False) -> Job | None:
        def work() -> Job | None:
            order = reversed(self._kept.values()) if newest else self._all()
            return next((self._copy(kept) for kept in order if wanted(kept)), None)

        return await self._answer(work)

    async def _take(self, job_id: str, step: Step, more: Callable[[], None]) -> Job:
        def work() -> Job:
            before = self._get(job_id)
            after = same_id(before, step(before))
            if after is not before:
                self._put(self._kept[job_id].seq, after)
            more()
            if after is not before:
                self._tell(before, job_id)
            return self._get(job_id)

        return await self._answer(work)

    def _all(self) -> Iterable[_Kept]:
        return self._kept.values()

    def _queued(self) -> Iterator[_Kept]:
        return (kept for kept in self._all() if kept.job.state is State.QUEUED)

    def _get(self, job_id: str) -> Job:
        if (kept := self._kept.get(job_id)) is None:
            raise unknown(job_id)
        return self._copy(kept)

    def _copy(self, kept: _Kept) -> Job:
        return self._rows.read(kept.job.id, kept.body)

    def _put(self, seq: int, job: Job) -> None:
        body = self._rows.written(job)
        old = self._kept.get(job.id)
        self._kept[job.id] = _Kept(seq, body, self._rows.read(job.id, body))
        if old is not None:
            self._tally[old.job.ticket.recipe, old.job.state] -= 1
        self._tally[job.ticket.recipe, job.state] += 1

    def _tell(self, before: Job | None, job_id: str) -> None:
        self.writes += 1
        for listener in self._listeners:
            listener(before, self._get(job_id))


def _text(value: str) -> str:
    value.encode()  # a half of a surrogate pair is kept nowhere
    return value
