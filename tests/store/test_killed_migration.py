"""A service that is killed while it lifts its ledger to the present schema loses nothing: the next one goes on."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.fakes.ledger import fill_first_schema, make
from zoetrope.domain.job import State
from zoetrope.domain.query import JobQuery
from zoetrope.store.sqlite import schema
from zoetrope.store.sqlite.ledger import Ledger

RECORDED = Path(__file__).parent / "recordings" / "ledger-3.sql"
ROWS = 12  # of each state
FORK = multiprocessing.get_context("fork")  # a child begins at once, with all that is imported


def first(file: Path) -> None:
    """Make a ledger of the very first schema."""
    jobs = [make(state, stem=f"Größe{n}") for n in range(ROWS) for state in State]
    fill_first_schema(
        file, [(job.id, job.state, job.stem, msgspec.json.encode(job)) for job in jobs]
    )


def third(file: Path) -> None:
    """Make a ledger as it was before jobs had a priority."""
    with closing(sqlite3.connect(file)) as db:
        db.executescript(RECORDED.read_text())


class Killing:
    """Connects as the ledger does, and ends the process before one of its statements."""

    def __init__(self, survived: int) -> None:
        self.left = survived
        self.real = schema.connect

    def __call__(self, file: Path) -> sqlite3.Connection:
        connection = self.real(file)
        connection.set_trace_callback(self.count)
        # Within a statement, too: where many rows are written by one.
        connection.set_progress_handler(self.progress, 2000)
        return connection

    def count(self, _: str) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def progress(self) -> int:
        self.count("")
        return 0


def open_and_die(file: Path, survived: int) -> None:
    schema.connect = Killing(survived)  # type: ignore[assignment] # the child's own
    schema.open_file(file)


async def told(file: Path) -> tuple[object, ...]:
    """Open a ledger, and ask what an upgrade could have lost."""
    ledger = await Ledger.open(file)
    try:
        assert await ledger.check() is None
        page = await ledger.page(JobQuery(limit=1000))
        found = await ledger.page(JobQuery(text="größe", limit=1000))
        line = await ledger.waiting(1e9, 1000)
        failures = await ledger.recent_failures(-1.0, 1000)
        counted = await ledger.tally(), await ledger.counts()
        return page, found, line, failures, *counted, ledger.unreadable
    finally:
        await ledger.close()


@pytest.mark.parametrize("old", [first, third])
async def test_killed_anywhere_on_the_way_nothing_is_lost(old, tmp_path):
    before = tmp_path / "before.db"
    old(before)
    whole = tmp_path / "whole.db"
    shutil.copy(before, whole)
    wanted = await told(whole)
    assert len(wanted[0]) in (ROWS * len(State), len(State))
    file = tmp_path / "ledger.db"
    for survived in range(1000):
        for leftover in tmp_path.glob("ledger.*"):
            leftover.unlink()
        shutil.copy(before, file)
        child = FORK.Process(target=open_and_die, args=(file, survived))
        child.start()
        child.join()
        assert await told(file) == wanted, survived
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert survived > 10, "it was killed at every one of its steps"
