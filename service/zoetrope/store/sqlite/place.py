"""The place of an open ledger: whether its path still leads to what is open, and putting that back if not."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...durable import sync
from ...errors import LedgerError, Reason, is_disk_full
from .copies import COMPANIONS, copy_open

ASIDE = "before-restore"

_Id = tuple[int, int] | None


class LedgerPlace(msgspec.Struct, frozen=True):
    """Which folder, file and log lie at a ledger's path; what is not there is None."""

    folder: _Id
    file: _Id
    log: _Id


def look(file: Path) -> LedgerPlace:
    """Look at what lies at a ledger's path now."""
    return LedgerPlace(_id(file.parent), _id(file), _id(_log(file)))


def is_kept(opened: LedgerPlace, now: LedgerPlace) -> bool:
    """Say whether the path leads to what was opened; a file that was opened without a log has any."""
    return opened.file == now.file and opened.log in (None, now.log)


def put_back(
    db: sqlite3.Connection,
    file: Path,
    opened: LedgerPlace,
    ready: Callable[[Path], sqlite3.Connection],
) -> tuple[sqlite3.Connection, Reason]:
    """Put what an open connection has at its path again, and give a connection to that and what to say of it.

    What lies there instead is kept. Killed at any point, the path leads to all of the rows or to what lay there.
    """
    now = look(file)
    if now.folder is None or now.folder != opened.folder:
        raise LedgerError(
            f"The folder {file.parent} of the open ledger is gone, or is not the one it was.",
            "Put it back, or mount it again, and the service goes on by itself; restart it if another folder is"
            " meant to be there.",
            key="ledger-gone",
        )
    part = file.with_name(f".{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        copy_open(db, part)
        aside = _keep(file, opened, now)
        part.rename(file)
        sync(file.parent)
    except (OSError, sqlite3.Error) as error:
        if is_disk_full(error):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise LedgerError(
            f"{file} was deleted or replaced under the running service, and cannot be put back ({why}).",
            "Let the service's user write there; it goes on by itself. Until then do not stop the service: it alone"
            " has the rows.",
            key="ledger-gone",
        ) from error
    # Only now: at its end it removes its own log by name, and the rows are safe.
    db.close()
    kept = f" What lay there instead is in {aside}." if aside is not None else ""
    return ready(file), Reason(
        "ledger-put-back",
        f"{file} was deleted or replaced while the service ran. The service has put it back; nothing is lost.",
        f"See what did that, such as a clean-up job.{kept} To go on with another ledger: stop the service, then"
        " zoetrope restore FILE.",
    )


def _keep(file: Path, opened: LedgerPlace, now: LedgerPlace) -> Path | None:
    """Keep what is not ours at the ledger's path, and say where; the file itself stays there until it is replaced."""
    foreign_file = now.file is not None and now.file != opened.file
    foreign_log = now.log is not None and now.log != opened.log
    aside = file.parent / ASIDE / time.strftime("replaced-%Y-%m-%d-%H%M%S")
    if foreign_file or foreign_log:
        aside.mkdir(parents=True, exist_ok=True)
    if foreign_file:
        kept = aside / file.name
        kept.unlink(missing_ok=True)
        try:
            os.link(file, kept)
        except OSError:
            shutil.copyfile(file, kept)
    if foreign_log:
        # The log of one file must never meet another.
        for end in COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                file.with_name(f"{file.name}{end}").rename(aside / f"{file.name}{end}")
    return aside if foreign_file or foreign_log else None


def _log(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _id(path: Path) -> _Id:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
