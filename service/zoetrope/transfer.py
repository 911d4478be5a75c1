"""Files from one held folder to another: renamed where that is possible, else copied, and never through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from .beneath import Beneath, Linked, hidden_name
from .durable import flush
from .errors import NotReadable
from .host import shown

_CHUNK = 1 << 20


def carry(source: Beneath, path: str, target: Beneath, to: str) -> None:
    """Rename a file, or copy it where a mount lies between; a link is carried as the link that it is."""
    try:
        source.move(path, target, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    hidden = hidden_name(to)
    try:
        copy(source, path, target, hidden)
        target.rename(hidden, to)
    except BaseException:
        with contextlib.suppress(OSError, Linked):
            target.unlink(hidden)
        raise
    source.unlink(path)


def copy(source: Beneath, path: str, target: Beneath, to: str) -> None:
    """Copy a file, its group, permissions and times to a name that is not taken; of a link, the link."""
    found = source.stat(path)
    if stat.S_ISLNK(found.st_mode):
        with source.above(path) as (at, name), target.above(to) as (into, new):
            os.symlink(os.readlink(name, dir_fd=at), new, dir_fd=into)
        return
    if not stat.S_ISREG(found.st_mode):
        raise NotReadable(
            f"{shown(source.full(path))} is not a file, so it cannot be copied.",
            "Remove it; it goes on by itself.",
        )
    with (
        open(source.open(path), "rb") as stream,  # noqa: PTH123 - a descriptor
        open(target.create(to), "wb") as made,  # noqa: PTH123 - a descriptor
    ):
        found = os.fstat(stream.fileno())
        while chunk := stream.read(_CHUNK):
            made.write(chunk)
        made.flush()  # before the times are set: writing sets them again
        # Whoever may read the original by its group may read the copy; some shares have no groups.
        with contextlib.suppress(OSError):
            os.fchown(made.fileno(), -1, found.st_gid)
        # Never setuid: the copy belongs to the service, whoever the original belongs to.
        os.fchmod(made.fileno(), stat.S_IMODE(found.st_mode) & 0o777)
        os.utime(made.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        flush(made)
