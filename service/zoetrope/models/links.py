"""Links among model files: where they lead, and whether what is there may be reported.

Folders of models often hold links to other disks, so links are followed. But whoever makes a link must not learn
through the service what is in a file that they cannot read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import msgspec

MOST = 40  # links on the way to one file, as many as the kernel follows


class Way(msgspec.Struct, frozen=True):
    """Where a path leads, and whose links lead there."""

    real: str
    owners: frozenset[int]


def follow(file: Path) -> Way:
    """Follow every link on the way to a file."""
    steps = list(file.absolute().parts[1:])
    real = Path("/")
    owners: set[int] = set()
    links = 0
    while steps:
        step = steps.pop(0)
        if step == "..":
            real = real.parent
            continue
        about = (real / step).lstat()
        if not stat.S_ISLNK(about.st_mode):
            real /= step
            continue
        links += 1
        if links > MOST:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        owners.add(about.st_uid)
        target = (real / step).readlink()
        if target.is_absolute():
            real = Path("/")
        steps[:0] = target.parts[1:] if target.is_absolute() else target.parts
    return Way(str(real), frozenset(owners))


def may_report(way: Way, about: os.stat_result, us: int) -> bool:
    """Return whether size and hash of what a path leads to may be shown to whoever asks the service.

    Root and the service may link to anything, other users to their own files and to what every user can read.
    """
    if way.owners <= {0, us, about.st_uid}:
        return True
    return bool(about.st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in Path(way.real).parents
    )
