"""Which folder the inbox is, over restarts: the bare folder below a mount that is absent is not an empty inbox.

Nothing is written into the inbox for that: it may be read-only, and a folder that is made anew is one as well.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..durable import put
from ..host import shown
from ..mounts import mount_of, outermost, read_table
from ..structs import UNREADABLE, primed
from .presence import InboxMissing


class KnownInbox(msgspec.Struct, frozen=True, kw_only=True):
    """The inbox as it was when it was last seen."""

    path: str
    inode: int
    source: str  # what is mounted there: a disk or a share; "" where nothing tells
    point: str  # from which folder on that is so


def is_same(known: KnownInbox, seen: KnownInbox) -> bool:
    """Decide whether a folder is the inbox.

    Below an absent mount lies another folder, on what the mount point lies on. A disk may have another name after a
    restart, a folder may be made anew, and a share may be mounted where there was none: each alone is no other inbox.
    """
    return (
        seen.path != known.path
        or seen.inode == known.inode
        or seen.source == known.source
        or not (seen.source and known.source)
        or len(seen.point) >= len(known.point)
    )


class InboxIdentity:
    """Remembers the inbox in a file of the state folder; every method blocks on the disk."""

    def __init__(self, root: Path, file: Path, mounts: Callable[[], str] = read_table) -> None:
        self._root = root
        self._file = file
        self._mounts = mounts
        self._one = threading.Lock()

    def check(self) -> None:
        """Raise InboxMissing where the folder is not the inbox; the first one that is seen is."""
        with self._one:
            self._check()

    def _check(self) -> None:
        try:
            inode = self._root.stat().st_ino
        except OSError:
            return  # that it is not there is said elsewhere
        table, real = self._mounts(), os.path.realpath(self._root)
        seen = KnownInbox(
            path=shown(str(self._root)),
            inode=inode,
            source=shown(mount_of(table, real).source),
            point=shown(outermost(table, real)),
        )
        known = _read(self._file)
        if known is not None and not is_same(known, seen):
            raise InboxMissing(
                f"{known.source}, which holds the inbox {seen.path}, is not mounted at {known.point}.",
                "Mount it, and pictures are taken by themselves. If you moved the inbox on purpose, let the service"
                f" take this folder for it: rm {shlex.quote(shown(str(self._file)))}",
                key="inbox-away",
            )
        if seen != known:
            with contextlib.suppress(OSError):  # what is not remembered now is at the next start
                put(self._file, msgspec.json.encode(seen))


def _read(file: Path) -> KnownInbox | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=primed(KnownInbox))
    except (FileNotFoundError, *UNREADABLE):
        return None
