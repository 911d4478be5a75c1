"""Files that are on the disk when a call returns: content, name and folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def write(file: Path, content: bytes) -> None:
    """Write a file and flush it; its name is durable once its folder is."""
    with file.open("wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def sync(path: Path) -> None:
    """Make a file's content, or a folder's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some shares cannot flush a folder; they have no better promise to give.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
