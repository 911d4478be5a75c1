"""Copies of the ledger's file: made while it is written to, examined before they are trusted, put in its place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...durable import sync
from ...errors import DiskFull, LedgerError, is_disk_full
from ..rows import Rows
from .schema import APPLICATION_ID, MIGRATIONS, connect

# What SQLite keeps next to a file in use. The log of one file must never meet another.
COMPANIONS = ("-wal", "-shm")


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy of a ledger holds."""

    schema: int
    jobs: int
    unreadable: int  # rows that nothing can be made of


def copy(file: Path, target: Path) -> None:
    """Copy a ledger as it is at one moment; whoever writes meanwhile does not wait."""
    if not file.is_file():
        raise LedgerError(f"There is no ledger {file}.", "Check state.path in the settings.")
    with _told(file), contextlib.closing(connect(file)) as source:
        copy_open(source, target)


def copy_open(source: sqlite3.Connection, target: Path) -> None:
    """Copy what an open connection has, durably, into a file that was not there."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as made:
        # In one step: a copy in several would begin anew with every write in between.
        source.backup(made)
        # So that the copy is one file, wherever it is opened.
        made.execute("PRAGMA journal_mode = DELETE")
    sync(target)


def examine(file: Path) -> Examined:
    """Read a whole copy; LedgerError if it is damaged, of some other program, or too new."""
    with _told(file), contextlib.closing(connect(file, read_only=True)) as db:
        found = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        if found != "ok" or application != APPLICATION_ID or version < 1:
            said = found if found != "ok" else "it is no ledger of zoetrope"
            raise LedgerError(
                f"{file.name} cannot be used ({said}).", "Take another backup.", key="backup-broken"
            )
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"The ledger was written by a newer zoetrope (schema {version}, this one knows"
                f" {len(MIGRATIONS)}).",
                "Restore it with that version, or take an older backup.",
                key="backup-newer",
            )
        rows = Rows()
        jobs = unreadable = 0
        for row in db.execute("SELECT id, body FROM jobs"):
            jobs += 1
            unreadable += rows.readable(*row) is None
    return Examined(schema=version, jobs=jobs, unreadable=unreadable)


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold a ledger against every service for as long as the block lasts; LedgerError if one has it."""
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerError(
                f"A running service uses {file}.",
                "Stop it first: systemctl stop zoetrope; start it again afterwards.",
                key="service-runs",
            ) from error
        yield


def replace(file: Path, new: Path, aside: Path) -> None:
    """Put a copy in the place of a ledger that is held, and keep that one in a folder, whatever state it is in.

    Killed at any point, either the one or the other is in place, and the earlier one is in the folder as well
    before anything of it goes.
    """
    aside.mkdir(parents=True)
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        # Before anything is opened: of a damaged file SQLite throws the log away.
        shutil.copyfile(log, aside / log.name)
        (aside / log.name).chmod(0o600)
        sync(aside / log.name)
    if file.exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(file)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _keep(file, aside / file.name)
    sync(aside)
    sync(aside.parent)
    for end in COMPANIONS:
        file.with_name(f"{file.name}{end}").unlink(missing_ok=True)
    sync(file.parent)
    new.rename(file)
    sync(file.parent)


def _keep(old: Path, new: Path) -> None:
    """Give a file a second name, or copy it where that cannot be; nobody writes to it any more."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
        new.chmod(0o600)
    sync(new)


@contextlib.contextmanager
def _told(file: Path) -> Iterator[None]:
    """Say in words what SQLite says of a file."""
    try:
        yield
    except sqlite3.Error as error:
        if is_disk_full(error):
            raise DiskFull("The disk is full.", "Free some space, and try again.") from error
        raise LedgerError(
            f"{file} cannot be read as a ledger ({error}).",
            "Check the disk (dmesg, smartctl), or take another backup.",
            key="backup-broken",
        ) from error
