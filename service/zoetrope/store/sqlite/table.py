"""A job as a row: its bytes, the columns that questions walk along, and the words that it is found by."""

from __future__ import annotations

import sqlite3

from ...domain.job import Job
from ...domain.query import words
from ..rows import Rows


def insert(db: sqlite3.Connection, rows: Rows, job: Job) -> None:
    """Write a new job, inside the caller's transaction."""
    added = db.execute(
        "INSERT INTO jobs (id, state, folder, stem, recipe, fingerprint, not_before, updated, rank,"
        " body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (job.id, *_columns(rows, job)),
    )
    db.execute("INSERT INTO words VALUES (?, ?)", (added.lastrowid, words(job)))


def update(db: sqlite3.Connection, rows: Rows, before: Job, after: Job) -> None:
    """Write what became of a job, inside the caller's transaction."""
    db.execute(
        "UPDATE jobs SET state = ?, folder = ?, stem = ?, recipe = ?, fingerprint = ?,"
        " not_before = ?, updated = ?, rank = ?, body = ? WHERE id = ?",
        (*_columns(rows, after), after.id),
    )
    if (text := words(after)) != words(before):
        db.execute(
            "UPDATE words SET text = ? WHERE seq = (SELECT seq FROM jobs WHERE id = ?)",
            (text, after.id),
        )


def _columns(rows: Rows, job: Job) -> tuple[object, ...]:
    stage = job.stage
    return (
        str(job.state),
        job.folder,
        job.stem,
        job.ticket.recipe,
        job.fingerprint,
        stage.not_before if stage else 0.0,
        job.updated,
        -job.priority,
        rows.written(job),
    )
