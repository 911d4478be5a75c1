"""The ledger: every job on disk, one writer, and nothing said to be done before it is durable."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO, TypeVar

import msgspec

from ..domain.job import Job, State
from ..errors import DiskFull, LedgerError, NotFound, is_disk_full
from .question import Question, words
from .rows import Rows
from .schema import connect, open_file

T = TypeVar("T")
Listener = Callable[[Job], None]
Witness = Callable[[Job | None, Job], None]


_REFILL = 64  # rows at a time, where some of a page cannot be read


class Row(msgspec.Struct, frozen=True):
    """A job with its place in the ledger; `seq` grows with every arrival and serves as page cursor."""

    seq: int
    job: Job


class Ledger:
    """The only way to the ledger's file; all work happens on one thread of its own."""

    def __init__(
        self, connection: sqlite3.Connection, lock: TextIO, thread: ThreadPoolExecutor
    ) -> None:
        self._db = connection
        self._lock = lock
        self._thread = thread
        self._witnesses: list[Witness] = []
        self.writes = 0  # by this process; the same number means the same jobs
        self._rows = Rows()
        self.last_progress = time.monotonic()

    @classmethod
    async def open(cls, file: Path) -> Ledger:
        """Open or make the ledger, lift it to the present schema, and hold it against a second service."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        try:
            connection, lock = await asyncio.get_running_loop().run_in_executor(
                thread, open_file, file
            )
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(connection, lock, thread)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The ids of the rows that nothing can be made of, each with the reason; no list has them."""
        return self._rows.unreadable

    async def close(self) -> None:
        """Finish what was asked and let the file go."""
        await self._run(self._db.close)
        self._thread.shutdown(wait=True)
        self._lock.close()

    def listen(self, listener: Listener) -> None:
        """Have a function called, on the event loop, with every job that was just written."""
        self._witnesses.append(lambda _, job: listener(job))

    def witness(self, witness: Witness) -> None:
        """Have a function called like a listener, with what the job was before as well; None for a new one."""
        self._witnesses.append(witness)

    async def add(self, job: Job, *, claim: str) -> Job:
        """Write a new job; the same claim gives the job that was written the first time."""

        def work() -> tuple[Job, bool]:
            known = self._db.execute("SELECT job FROM claims WHERE id = ?", (claim,)).fetchone()
            if known is not None:
                return self._get(known[0]), False
            self._db.execute("INSERT INTO claims VALUES (?, ?)", (claim, job.id))
            self._insert(job)
            return job, True

        stored, new = await self._write(work)
        if new:
            self._tell(None, stored)
        return stored

    async def change(
        self, job_id: str, step: Callable[[Job], Job], *, claim: str | None = None
    ) -> Job:
        """Take one legal step with a job, whoever else wants to: read, decide and write are one."""

        def work() -> tuple[Job, Job]:
            before = self._get(job_id)
            after = step(before)
            if claim is not None:
                self._db.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (claim, job_id))
            if after is not before:
                self._update(after)
                if (told := words(after)) != words(before):
                    self._db.execute(
                        "UPDATE words SET text = ? WHERE seq = (SELECT seq FROM jobs WHERE id = ?)",
                        (told, job_id),
                    )
            return before, after

        before, after = await self._write(work)
        if after is not before:
            self._tell(before, after)
        return after

    async def publish(self, job_id: str, step: Callable[[Job], Job], made: Iterable[str]) -> Job:
        """Take the last step and remember the hashes of what was published, in one transaction."""
        hashes = [(sha256, job_id) for sha256 in made]

        def work() -> tuple[Job, Job]:
            before = self._get(job_id)
            after = step(before)
            self._update(after)
            self._db.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?)", hashes)
            return before, after

        before, after = await self._write(work)
        self._tell(before, after)
        return after

    async def get(self, job_id: str) -> Job:
        """Find a job by its whole id."""
        return await self._run(lambda: self._get(job_id))

    async def find(self, prefix: str) -> Job:
        """Find a job by its id or the beginning of it, as people write it."""

        def work() -> Job:
            found = self._db.execute(
                "SELECT id, body FROM jobs WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "g")
            ).fetchall()
            if len(found) > 1:
                raise NotFound(f"{prefix!r} is the beginning of several jobs.", "Give more of it.")
            if not found or not prefix:
                raise NotFound(f"There is no job {prefix!r}.", "`zoetrope jobs` lists them.")
            return self._rows.read(*found[0])

        return await self._run(work)

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

    async def next(self, now: float, *, without: Iterable[str] = ()) -> Job | None:
        """Find the oldest queued job whose time has come, leaving out those already in hand."""
        skip = list(without)

        def work() -> Job | None:
            # One more row cannot be read with each turn, and is left out in the next.
            while True:
                row = self._db.execute(
                    "SELECT id, body FROM jobs WHERE state = 'queued' AND not_before <= ?"
                    " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 1",
                    (now, _listed((*skip, *self.unreadable))),
                ).fetchone()
                if row is None:
                    return None
                if (job := self._rows.readable(*row)) is not None:
                    return job

        return await self._run(work)

    async def soonest(self) -> float | None:
        """Say when the first postponed job's time comes."""

        def work() -> float | None:
            row = self._db.execute(
                "SELECT min(not_before) FROM jobs WHERE state = 'queued' AND not_before > 0"
                # Nothing is to be done when their time comes, again and again.
                " AND id NOT IN (SELECT value FROM json_each(?))",
                (_listed(self.unreadable),),
            ).fetchone()
            return None if row[0] is None else float(row[0])

        return await self._run(work)

    async def twin(self, fingerprint: str) -> Job | None:
        """Find the newest job made from the same bytes and ticket that has not come to nothing."""

        def work() -> Job | None:
            return self._rows.first(
                self._db.execute(
                    "SELECT id, body FROM jobs WHERE fingerprint = ? AND fingerprint <> ''"
                    " AND state NOT IN ('failed', 'cancelled', 'rejected') ORDER BY seq DESC",
                    (fingerprint,),
                )
            )

        return await self._run(work)

    async def waiting(self, folder: str, stem: str) -> Job | None:
        """Find the job that waits for its other half."""

        def work() -> Job | None:
            return self._rows.first(
                self._db.execute(
                    "SELECT id, body FROM jobs WHERE state = 'waiting' AND folder = ? AND stem = ?"
                    " ORDER BY seq",
                    (folder, stem),
                )
            )

        return await self._run(work)

    async def maker(self, sha256: str) -> Job | None:
        """Find the job that published these bytes, if they are our own."""

        def work() -> Job | None:
            return self._rows.first(
                self._db.execute(
                    "SELECT id, body FROM outputs JOIN jobs ON jobs.id = outputs.job"
                    " WHERE sha256 = ?",
                    (sha256,),
                )
            )

        return await self._run(work)

    async def page(self, question: Question) -> list[Row]:
        """List jobs, newest first, a page at a time."""

        def work() -> list[Row]:
            found: list[Row] = []
            asked = question
            while True:
                rows = self._db.execute(*asked.sql()).fetchall()
                for seq, job_id, body in rows:
                    if (job := self._rows.readable(job_id, body)) is not None:
                        found.append(Row(seq, job))
                if len(rows) < asked.limit or len(found) >= question.limit:
                    return found[: question.limit]
                # A short page would say that there is no further one.
                asked = msgspec.structs.replace(question, limit=_REFILL, before=rows[-1][0])

        return await self._run(work)

    async def all_in(self, *states: State) -> list[Job]:
        """List every job in some states, oldest first; for the few that are under way."""

        def work() -> list[Job]:
            rows = self._db.execute(
                "SELECT id, body FROM jobs WHERE state IN (SELECT value FROM json_each(?))"
                " ORDER BY seq",
                (_listed(states),),
            )
            return [job for row in rows if (job := self._rows.readable(*row)) is not None]

        return await self._run(work)

    async def accepted(self) -> dict[tuple[str, str], int]:
        """Count the jobs under way by their recipe and the version that they were accepted with."""

        def work() -> dict[tuple[str, str], int]:
            rows = self._db.execute(
                "SELECT recipe, json_extract(body, '$.recipe_version'), count(*) FROM jobs"
                " WHERE state IN ('waiting', 'queued', 'running', 'review') AND json_valid(body)"
                " GROUP BY 1, 2"
            )
            return {(recipe, version): jobs for recipe, version, jobs in rows if version}

        return await self._run(work)

    async def versions(self) -> set[str]:
        """List the recipe versions of all jobs that may still be worked on, failed ones included."""

        def work() -> set[str]:
            rows = self._db.execute(
                "SELECT DISTINCT json_extract(body, '$.recipe_version') FROM jobs"
                " WHERE state NOT IN ('done', 'rejected') AND json_valid(body)"
            )
            return {version for (version,) in rows if version}

        return await self._run(work)

    async def counts(self) -> dict[State, int]:
        """Say how many jobs are in each state."""

        def work() -> dict[State, int]:
            rows = self._db.execute("SELECT state, sum(jobs) FROM tally GROUP BY state")
            found = dict(rows.fetchall())
            return {state: found.get(str(state), 0) for state in State}

        return await self._run(work)

    async def tally(self) -> dict[tuple[str, State], int]:
        """Say how many jobs of each recipe are in each state."""

        def work() -> dict[tuple[str, State], int]:
            rows = self._db.execute("SELECT recipe, state, jobs FROM tally")
            known = {str(state): state for state in State}
            return {(recipe, known[state]): n for recipe, state, n in rows if state in known}

        return await self._run(work)

    async def remember_rung(
        self, recipe: str, stage: str, size: str, card: str, relief: tuple[str, ...]
    ) -> None:
        """Keep what made a stage fit, for the next job of its kind."""

        def work() -> None:
            self._db.execute(
                "INSERT OR REPLACE INTO rungs VALUES (?, ?, ?, ?, ?, ?)",
                (recipe, stage, size, card, " ".join(relief), time.time()),
            )

        await self._write(work)

    async def rung(self, recipe: str, stage: str, size: str, card: str) -> tuple[str, ...]:
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

    async def check(self) -> str | None:
        """Read the whole file on a connection of its own; says what is wrong, or None.

        Rows that nothing can be made of are no damage of the file; they are noted one by one.
        """
        file = self._db_file

        def work() -> str | None:
            with contextlib.closing(connect(file, read_only=True)) as db:
                found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
                if found == "ok":
                    for row in db.execute("SELECT id, body FROM jobs"):
                        self._rows.readable(*row)
            return None if found == "ok" else found

        try:
            return await asyncio.to_thread(work)
        except sqlite3.DatabaseError as error:
            return str(error)

    async def ping(self) -> float:
        """Write one row and say how long that took: the proof that the ledger can be written."""
        begun = time.perf_counter()

        def work() -> None:
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('ping', ?)", (str(time.time()),))

        await self._write(work)
        return time.perf_counter() - begun

    @property
    def _db_file(self) -> Path:
        return Path(self._lock.name).with_suffix(".db")

    def _tell(self, before: Job | None, after: Job) -> None:
        self.writes += 1
        for witness in self._witnesses:
            witness(before, after)

    def _get(self, job_id: str) -> Job:
        row = self._db.execute("SELECT body FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}.", "`zoetrope jobs` lists them.")
        return self._rows.read(job_id, row[0])

    def _insert(self, job: Job) -> None:
        added = self._db.execute(
            "INSERT INTO jobs (id, state, folder, stem, recipe, fingerprint, not_before, updated,"
            " body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job.id, *self._columns(job)),
        )
        self._db.execute("INSERT INTO words VALUES (?, ?)", (added.lastrowid, words(job)))

    def _update(self, job: Job) -> None:
        self._db.execute(
            "UPDATE jobs SET state = ?, folder = ?, stem = ?, recipe = ?, fingerprint = ?,"
            " not_before = ?, updated = ?, body = ? WHERE id = ?",
            (*self._columns(job), job.id),
        )

    def _columns(self, job: Job) -> tuple[object, ...]:
        stage = job.stage
        return (
            str(job.state),
            job.folder,
            job.stem,
            job.ticket.recipe,
            job.fingerprint,
            stage.not_before if stage else 0.0,
            job.updated,
            self._rows.written(job),
        )

    async def _write(self, work: Callable[[], T]) -> T:
        def transaction() -> T:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = work()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            return result

        return await self._run(transaction)

    async def _run(self, work: Callable[[], T]) -> T:
        # Shielded: a request that goes away must not leave its half-done answer unread by the thread.
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            result = await asyncio.shield(future)
        except sqlite3.Error as error:
            if is_disk_full(error):
                raise DiskFull(
                    "The disk of the ledger is full.",
                    "Free some space; the queue goes on by itself.",
                ) from error
            raise LedgerError(
                f"The ledger cannot be used: {error}.",
                "Stop the service, keep a copy of ledger.db, and look at the disk's health.",
            ) from error
        self.last_progress = time.monotonic()
        return result


def _listed(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
