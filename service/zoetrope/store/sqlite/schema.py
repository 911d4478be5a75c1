"""The ledger's file: opened by one service at a time, and lifted to the present schema."""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path
from typing import TextIO

import msgspec

from ...domain.job import Job
from ...domain.query import words
from ...errors import LedgerError, is_disk_full
from ..rows import BROKEN

APPLICATION_ID = 0x5A6F6574  # "Zoet": tells our files from any other SQLite database

# Each entry lifts the schema by one version; what has shipped is never edited, only added to.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      state TEXT NOT NULL,
      folder TEXT NOT NULL,
      stem TEXT NOT NULL,
      recipe TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      not_before REAL NOT NULL,
      updated REAL NOT NULL,
      body BLOB NOT NULL
    );
    CREATE INDEX jobs_by_state ON jobs (state, seq);
    CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint, seq) WHERE fingerprint <> '';
    CREATE TABLE claims (id TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE outputs (sha256 TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE rungs (
      recipe TEXT NOT NULL, stage TEXT NOT NULL, size TEXT NOT NULL, card TEXT NOT NULL,
      relief TEXT NOT NULL, learned REAL NOT NULL,
      PRIMARY KEY (recipe, stage, size, card)
    ) WITHOUT ROWID;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE counts (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TRIGGER count_new AFTER INSERT ON jobs BEGIN
      INSERT INTO counts VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER count_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
      UPDATE counts SET jobs = jobs - 1 WHERE state = old.state;
      INSERT INTO counts VALUES (new.state, 1) ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
    END;
    """,
    # The words are casefolded by a function of ours; triggers would need it in every program that writes.
    """
    CREATE INDEX jobs_by_recipe ON jobs (recipe, seq);
    CREATE INDEX jobs_by_recipe_and_state ON jobs (recipe, state, seq);
    CREATE TABLE words (seq INTEGER PRIMARY KEY, text TEXT NOT NULL);
    INSERT INTO words SELECT seq, words_of(body) FROM jobs;
    """,
    # Counted as they are written: counting a hundred thousand rows would hold up every other question.
    """
    DROP TRIGGER count_new;
    DROP TRIGGER count_moved;
    DROP TABLE counts;
    CREATE TABLE tally (
      recipe TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL,
      PRIMARY KEY (recipe, state)
    ) WITHOUT ROWID;
    INSERT INTO tally SELECT recipe, state, count(*) FROM jobs GROUP BY recipe, state;
    CREATE TRIGGER tally_new AFTER INSERT ON jobs BEGIN
      INSERT INTO tally VALUES (new.recipe, new.state, 1)
        ON CONFLICT (recipe, state) DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER tally_moved AFTER UPDATE OF recipe, state ON jobs
      WHEN old.recipe <> new.recipe OR old.state <> new.state BEGIN
      UPDATE tally SET jobs = jobs - 1 WHERE recipe = old.recipe AND state = old.state;
      INSERT INTO tally VALUES (new.recipe, new.state, 1)
        ON CONFLICT (recipe, state) DO UPDATE SET jobs = jobs + 1;
    END;
    """,
    # The rank is the priority negated: so the highest and the first to arrive lie in one direction.
    """
    ALTER TABLE jobs ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_in_line ON jobs (rank, seq, not_before) WHERE state = 'queued';
    """,
    # By the time of their end: what was rejected at the door of late hides no older job that failed just now.
    """
    CREATE INDEX jobs_ended_badly ON jobs (updated, state) WHERE state IN ('failed', 'rejected');
    """,
)


def connect(file: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Connect to the file; a read-only connection never disturbs the writer."""
    if read_only:
        return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    return sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)


def open_file(file: Path) -> tuple[sqlite3.Connection, TextIO]:
    """Open or make the file, hold its lock, and bring its schema up to date."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_suffix(".lock").open("w")
    except OSError as error:
        raise LedgerError(
            f"The ledger's folder {file.parent} cannot be used ({error.strerror}).",
            "Check that it exists and belongs to the service's user.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise LedgerError(
            f"Another zoetrope already uses {file}.",
            "Stop it first; one ledger serves one service.",
        ) from error
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(file)
        _settle(connection)
        _migrate(connection, file)
        # Reads through the tree that every other question walks; a torn file shows here at once.
        connection.execute("SELECT body FROM jobs ORDER BY seq DESC LIMIT 1").fetchone()
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        lock.close()
        if is_disk_full(error):
            raise LedgerError(
                f"The disk of {file} is full.",
                "Free some space; the service opens the ledger by itself.",
                key="disk-full",
            ) from error
        raise LedgerError(
            f"{file} is damaged or is not a ledger ({error}).",
            "Stop the service and restore a backup (zoetrope restore FILE), which keeps this file; or"
            " move it away to begin with an empty ledger: what is in work/ then waits in lost+found/.",
        ) from error
    except LedgerError:
        if connection is not None:
            connection.close()
        lock.close()
        raise
    return connection, lock


def reopen(file: Path) -> sqlite3.Connection:
    """Connect to a file of the present schema whose lock is held already."""
    connection = connect(file)
    _settle(connection)
    connection.execute("SELECT body FROM jobs ORDER BY seq DESC LIMIT 1").fetchone()
    return connection


def _settle(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 512")
    connection.execute("PRAGMA cache_size = -4000")


def _migrate(connection: sqlite3.Connection, file: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise LedgerError(
            f"{file} is a database of some other program.", "Point state.path to another folder."
        )
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{file} was written by a newer zoetrope (schema {version}, this one knows"
            f" {len(MIGRATIONS)}).",
            "Run the newer version again, or restore the ledger from before the upgrade.",
        )
    connection.create_function("words_of", 1, _words_of)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )


def _words_of(body: bytes) -> str:
    """Give a row's words; one that cannot be read is found by none, and must not keep the others."""
    try:
        return words(msgspec.json.decode(body, type=Job))
    except BROKEN:
        return ""
