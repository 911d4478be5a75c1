"""Files that are on the disk when a call returns: content, name and folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO


def flush(file: IO[bytes]) -> None:
    """Make what was written to an open file durable."""
    file.flush()
    os.fsync(file.fileno())


def write(file: Path, content: bytes) -> None:
    """Write a file and flush it; its name is durable once its folder is."""
    with file.open("wb") as target:
        target.write(content)
        flush(target)


def put(file: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all, durably with its name; an OSError leaves the one before."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode, exist_ok=False)
    write(part, content)
    part.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Make a file's content, or a folder's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        sync_open(handle)
    finally:
        os.close(handle)


def sync_open(handle: int) -> None:
    """Make durable what an open descriptor stands for: a file's content, or a folder's names."""
    try:
        os.fsync(handle)
    except OSError as error:
        # Some shares cannot flush a folder; they have no better promise to give.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
