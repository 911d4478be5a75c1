"""The ledger: every job on disk, one writer, and nothing said to be done before it is durable."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO, TypeVar

from ...domain.job import Job
from ...errors import LedgerError
from ...host import trouble
from ..protocol import Listener, Step
from ..rows import same_id
from .index import SqliteIndex
from .schema import open_file
from .table import insert, update

T = TypeVar("T")


class Ledger(SqliteIndex):
    """The only way to the ledger's file."""

    def __init__(
        self, connection: sqlite3.Connection, lock: TextIO, thread: ThreadPoolExecutor
    ) -> None:
        super().__init__(connection, lock, thread)
        self._listeners: list[Listener] = []
        self.writes = 0  # by this process; the same number means the same jobs

    @classmethod
    async def open(cls, file: Path) -> Ledger:
        """Open or make the ledger, lift it to the present schema, and hold it against a second service."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        try:
            connection, lock = await asyncio.get_running_loop().run_in_executor(
                thread, open_file, file
            )
        except BaseException as error:
            thread.shutdown(wait=False)
            # The host has no thread left for it: that may pass, and is waited for like any other problem.
            if isinstance(error, RuntimeError) and (reason := trouble(error)) is not None:
                raise LedgerError(reason.sentence, reason.next_step, key=reason.key) from error
            raise
        return cls(connection, lock, thread)

    def on_change(self, listener: Listener) -> None:
        """Have a function called, on the event loop, with each job that was just written, and what it was before.

        Of a new job there is no before.
        """
        self._listeners.append(listener)

    async def add(self, job: Job, *, claim: str, others: Iterable[str] = ()) -> Job:
        """Write a new job; the same claim gives the job that was written the first time."""
        further = tuple(others)

        def work() -> tuple[Job, bool]:
            known = self._db.execute("SELECT job FROM claims WHERE id = ?", (claim,)).fetchone()
            stored = job if known is None else self._get(known[0])
            self._db.executemany(
                "INSERT OR IGNORE INTO claims VALUES (?, ?)",
                [(each, stored.id) for each in (claim, *further)],
            )
            if known is None:
                insert(self._db, self._rows, job)
            return stored, known is None

        stored, _ = await self._write(work, lambda done: self._tell(None, done[0], new=done[1]))
        return stored

    async def change(self, job_id: str, step: Step, *, claim: str | None = None) -> Job:
        """Take one legal step with a job, whoever else wants to: read, decide and write are one."""

        def more() -> None:
            if claim is not None:
                self._db.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (claim, job_id))

        return await self._take(job_id, step, more)

    async def publish(self, job_id: str, step: Step, made: Iterable[str]) -> Job:
        """Take the last step and remember the hashes of what was published, in one transaction."""
        hashes = [(sha256, job_id) for sha256 in made]

        def more() -> None:
            self._db.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?)", hashes)

        return await self._take(job_id, step, more)

    async def get(self, job_id: str) -> Job:
        """Find a job by its whole id."""
        return await self._run(lambda: self._get(job_id))

    async def claimed(self, claim: str) -> Job | None:
        """Find the job that a claim became part of; UnreadableJob if nothing can be made of it."""

        def work() -> Job | None:
            row = self._db.execute(
                "SELECT jobs.id, body FROM claims JOIN jobs ON jobs.id = claims.job"
                " WHERE claims.id = ?",
                (claim,),
            ).fetchone()
            return self._rows.read(*row) if row else None

        return await self._run(work)

    async def remember_fallbacks(
        self, recipe: str, stage: str, size: str, card: str, fallbacks: tuple[str, ...]
    ) -> None:
        """Keep what made a stage fit, for the next job of its kind."""

        def work() -> None:
            self._db.execute(
                "INSERT OR REPLACE INTO rungs VALUES (?, ?, ?, ?, ?, ?)",
                (recipe, stage, size, card, " ".join(fallbacks), time.time()),
            )

        await self._write(work)

    async def known_fallbacks(
        self, recipe: str, stage: str, size: str, card: str
    ) -> tuple[str, ...]:
        """Recall what made a stage fit."""

        def work() -> tuple[str, ...]:
            row = self._db.execute(
                "SELECT relief FROM rungs WHERE recipe = ? AND stage = ? AND size = ? AND card = ?",
                (recipe, stage, size, card),
            ).fetchone()
            return tuple(row[0].split()) if row else ()

        return await self._run(work)

    async def fact(self, name: str, make: Callable[[], str]) -> str:
        """Read a lasting fact of this ledger, deciding it once."""

        def work() -> str:
            self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, make()))
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return str(row[0])

        return await self._write(work)

    async def _take(self, job_id: str, step: Step, more: Callable[[], None]) -> Job:
        """Take a step, and write more in the same transaction; a step that changes nothing is not told."""

        def work() -> tuple[Job, Job]:
            before = self._get(job_id)
            after = same_id(before, step(before))
            more()
            if after is not before:
                update(self._db, self._rows, before, after)
            return before, after

        def then(done: tuple[Job, Job]) -> None:
            before, after = done
            self._tell(before, after, new=after is not before)

        _, after = await self._write(work, then)
        return after

    def _tell(self, before: Job | None, after: Job, *, new: bool) -> None:
        if not new:
            return
        self.writes += 1
        for listener in self._listeners:
            listener(before, after)
