"""An engine whose disk takes nothing, or keeps nothing: what jobs wait for, and when one of them may try again, as values."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from ..domain.values import Failure
from ..errors import Reason

FULL = "engine-disk-full"
READ_ONLY = "engine-read-only"
NOT_STORED = "upload-failed"
LOST = "upload-lost"
# That is no job's fault, and the engine is tried again by itself.
ENGINE_DISK = frozenset({FULL, READ_ONLY, NOT_STORED, LOST})
# Between two tries. Each may cost the engine a whole stage, so they grow rare where no space is freed.
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 300.0
# So much more than at the failure is room that a user made, or another program's file that went.
MADE_ROOM = 64 << 20

# Python and PyAV print an absolute path in quotes.
_PATH = re.compile(r"""['"](/[^'"]+)['"]""")


class EngineDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk that took nothing: why jobs wait, and what has to be true before the next try."""

    reason: Reason
    pause: float
    due: float
    folder: Path | None = None  # what is full, where that is known
    free: int | None = None  # how much was free there, where this host can see that


def after(
    before: EngineDisk | None,
    failure: Failure,
    engine: str,
    *,
    now: float,
    folder: Path | None = None,
    free: int | None = None,
) -> EngineDisk:
    """Say how it stands after one more failure of this kind."""
    pause = FIRST_PAUSE
    if before is not None:
        # What fails before the next try was at the engine already.
        pause = before.pause if now < before.due else min(2 * before.pause, LONGEST_PAUSE)
    return EngineDisk(
        reason=disk_reason(failure, engine, folder),
        pause=pause,
        due=now + pause,
        folder=folder,
        free=free,
    )


def may_try(disk: EngineDisk, *, now: float, free: int | None) -> bool:
    """Say whether a job may try again: at once where room was made, and not while none can be seen."""
    if free is not None and disk.reason.key == FULL:
        if disk.free is not None and free >= disk.free + MADE_ROOM:
            return True
        if free < MADE_ROOM:
            return False
    # Where nothing is seen, or a quota is what is full.
    return now >= disk.due


def folder_of(failure: Failure) -> Path | None:
    """Find the folder that a failure names."""
    found = _PATH.search(failure.message)
    return Path(found[1]).parent if found is not None else None


def free_bytes(folder: Path | None) -> int | None:
    """Look how much is free in a folder; None where this host cannot see it."""
    if folder is None:
        return None
    try:
        found = os.statvfs(folder)
    except (OSError, ValueError):
        return None
    return found.f_bavail * found.f_frsize


def disk_reason(failure: Failure, engine: str, folder: Path | None) -> Reason:
    """Say what jobs wait for, where, and what to do."""
    said = failure.message.rstrip(".")
    where = f" in {failure.node_type}" if failure.node_type else ""
    if failure.kind == READ_ONLY:
        return Reason(
            failure.kind,
            f"The engine {engine} cannot write{where}, its disk is read-only: {said}.",
            f"Mount {folder or 'it'} with rw on the engine's host (dmesg says what happened to it), or let the unit"
            " write there; it goes on by itself.",
        )
    if failure.kind == NOT_STORED:
        return Reason(
            failure.kind,
            f"The engine {engine} cannot store what is sent to it: {said}.",
            "See the engine's log, and whether its input folder has room and can be written (df -h); it goes on by"
            " itself.",
        )
    if failure.kind == LOST:
        return Reason(
            failure.kind,
            f"The engine {engine} loses what is sent to it: {said}.",
            "See what empties its input folder, and whether engines.url leads to one ComfyUI alone; it goes on by"
            " itself.",
        )
    step = (
        f"Free some space there (df -h {folder})"
        if folder
        else "Free some space on the engine's host (df -h), in its folders output, temp and input"
    )
    return Reason(
        failure.kind,
        f"The disk of the engine {engine} is full{where}: {said}.",
        f"{step}; it goes on by itself.",
    )
