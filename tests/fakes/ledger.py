"""Jobs for a store, and what may befall a ledger's file without the service."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zoetrope.domain.job import Job, Stage, State
from zoetrope.domain.values import Ticket
from zoetrope.store.rows import Rows
from zoetrope.store.sqlite.schema import APPLICATION_ID, MIGRATIONS, open_file
from zoetrope.store.sqlite.table import insert


def make(state: State = State.QUEUED, **changes: object) -> Job:
    """Make a job of one stage, with an id of its own."""
    job = Job(
        id=uuid.uuid4().hex,
        created=1.0,
        updated=1.0,
        state=state,
        stem="cat",
        ticket=Ticket(recipe="tiny", prompt="Жук & co"),
        stages=(Stage(name="i2v"),),
    )
    return msgspec.structs.replace(job, **changes)


def fill(file: Path, jobs: Iterable[Job]) -> None:
    """Write many jobs at once into a ledger that no service has open."""
    connection, lock = open_file(file)
    rows = Rows()
    with lock, contextlib.closing(connection):
        connection.execute("BEGIN")
        for job in jobs:
            insert(connection, rows, job)
        connection.execute("COMMIT")


def fill_first_schema(file: Path, rows: Iterable[tuple[str, State, str, object]]) -> None:
    """Make a ledger as the very first version wrote it, of ids, states, stems and bodies."""
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.executescript(
            f"{MIGRATIONS[0]} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        )
        db.executemany(
            "INSERT INTO jobs (id, state, folder, stem, recipe, fingerprint, not_before, updated,"
            " body) VALUES (?, ?, '', ?, 'r', '', 0.0, 0.0, ?)",
            ((job_id, str(state), stem, body) for job_id, state, stem, body in rows),
        )


def alter(file: Path, sql: str, *values: object) -> None:
    """Change a ledger's file beside the service, as another program might."""
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as db, db:
        db.execute(sql, values)


def poison(file: Path, *jobs: Job, body: object = b"{") -> None:
    """Make rows of which nothing can be made."""
    for job in jobs:
        alter(file, "UPDATE jobs SET body = ? WHERE id = ?", body, job.id)
