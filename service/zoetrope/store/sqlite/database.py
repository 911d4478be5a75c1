"""The ledger's file as long as it is open: one thread that works on it, and transactions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO, TypeVar

from ...domain.job import Job
from ...errors import DiskFull, LedgerError, Reason, is_disk_full
from ..rows import Rows, unknown
from .copies import copy
from .place import is_kept, look, put_back
from .schema import connect, reopen

T = TypeVar("T")

log = logging.getLogger("zoetrope.ledger")


class Database:
    """An open file with its lock; all work happens on one thread of its own."""

    def __init__(
        self, connection: sqlite3.Connection, lock: TextIO, thread: ThreadPoolExecutor
    ) -> None:
        self._db = connection
        self._lock = lock
        self._thread = thread
        self._rows = Rows()
        self._opened = look(self._db_file)
        self.put_back: Reason | None = None
        self.last_progress = time.monotonic()

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The ids of the rows that nothing can be made of, each with the reason; no list has them."""
        return self._rows.unreadable

    async def close(self) -> None:
        """Finish what was asked and let the file go."""
        with contextlib.suppress(LedgerError, DiskFull):
            await self._run(self._see_to_place)
        # Which connection is open is known only then: one that waits its turn may put the file back.
        await self._run(lambda: self._db.close())
        self._thread.shutdown(wait=True)
        self._lock.close()

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

    async def checkpoint(self) -> None:
        """Bring what is in the log into the file, on a connection of its own: no reader or writer waits for it."""
        file = self._db_file

        def work() -> None:
            with contextlib.closing(connect(file)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

        await self._run(self._see_to_place)
        with told():
            await asyncio.to_thread(work)

    async def copy_to(self, target: Path) -> None:
        """Copy the file as it is at one moment; whoever writes meanwhile does not wait."""
        await self._run(self._see_to_place)
        await asyncio.to_thread(copy, self._db_file, target)

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

    def _see_to_place(self) -> None:
        """See to it that what is written is found at the ledger's path: it may have been deleted or replaced."""
        file = self._db_file
        if is_kept(self._opened, look(file)):
            return
        self._db, self.put_back = put_back(self._db, file, self._opened, reopen)
        self._opened = look(file)
        log.warning("%s", self.put_back, extra={"action": self.put_back.key})

    def _get(self, job_id: str) -> Job:
        row = self._db.execute("SELECT body FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise unknown(job_id)
        return self._rows.read(job_id, row[0])

    async def _write(self, work: Callable[[], T], then: Callable[[T], None] | None = None) -> T:
        def transaction() -> T:
            self._see_to_place()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = work()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            return result

        return await self._run(transaction, then)

    async def _run(self, work: Callable[[], T], then: Callable[[T], None] | None = None) -> T:
        """Work on the ledger's thread; `then` is called with the result, even if whoever asked has gone."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        if then is not None:
            future.add_done_callback(lambda done: _hand_over(done, then))
        # Shielded: a request that goes away must not leave its half-done answer unread by the thread.
        with told():
            result = await asyncio.shield(future)
        self.last_progress = time.monotonic()
        return result


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Say in words what SQLite says of the ledger."""
    try:
        yield
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


def _hand_over(done: asyncio.Future[T], then: Callable[[T], None]) -> None:
    if not done.cancelled() and done.exception() is None:
        then(done.result())
