"""Which folder the outbox is: remembered by a mark in it, so that videos never land below a mount that is absent."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..durable import flush, put
from ..errors import NotReadable
from ..host import shown
from ..mounts import mount_of, read_table
from ..structs import UNREADABLE, primed

MARK = ".zoetrope-outbox"
_HALF = f"{MARK}.part"
_MARK_BYTES = 200
_A_MARK = re.compile(r"[0-9a-f]{32}")


class KnownOutbox(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox as it was when it was last seen."""

    path: str
    mark: str
    inode: int
    mount: str  # the mount point that it lay on, as it is called outside of this process


class FoundOutbox(msgspec.Struct, frozen=True, kw_only=True):
    """What is at the outbox's path now."""

    mark: str  # "" where there is none
    inode: int
    mount: str


class OutboxAway(NotReadable):
    """What is at the outbox's path is not the outbox."""

    key = "outbox-away"


def is_same(known: KnownOutbox, seen: FoundOutbox) -> bool:
    """Decide whether a folder is the outbox: by its mark, or as the same folder whose mark a user removed."""
    return seen.mark == known.mark or (not seen.mark and seen.inode == known.inode)


def away(known: KnownOutbox, seen: FoundOutbox) -> OutboxAway:
    """Say why a folder is not the outbox, and what to do; also if it was replaced on purpose."""
    path = shown(known.path)
    if len(seen.mount) < len(known.mount):
        sentence = f"{shown(known.mount)}, which holds the outbox, is not mounted."
    elif seen.mark:
        sentence = f"The folder {path} is another outbox than the one before."
    else:
        sentence = (
            f"The folder {path} is not the outbox that it was; its disk or share may be absent."
        )
    return OutboxAway(
        sentence,
        "Mount it, and it goes on by itself. If you replaced it on purpose, mark the new one:"
        f" echo {known.mark} > {shlex.quote(f'{path}/{MARK}')}",
    )


class OutboxIdentity:
    """Remembers the outbox in a file of the state folder; every method blocks on the disk."""

    def __init__(self, root: Path, file: Path, mounts: Callable[[], str] = read_table) -> None:
        self._root = root
        self._file = file
        self._mounts = mounts
        self._known: KnownOutbox | None = None
        self._one = threading.Lock()

    def check(self, tree: Beneath) -> None:
        """Raise OutboxAway unless the held folder is the outbox; the first one that is seen is."""
        with self._one:
            self._check(tree)

    def _check(self, tree: Beneath) -> None:
        known = self._known or _read(self._file, str(self._root))
        with tree.folder("") as at:
            inode = os.fstat(at).st_ino
        real = os.path.realpath(self._root)
        seen = FoundOutbox(
            mark=_mark(tree), inode=inode, mount=mount_of(self._mounts(), real).point
        )
        if known is not None and not is_same(known, seen):
            self._known = None
            raise away(known, seen)
        mark = known.mark if known is not None else seen.mark or uuid.uuid4().hex
        now = KnownOutbox(path=str(self._root), mark=mark, inode=seen.inode, mount=seen.mount)
        if now != known:
            put(self._file, msgspec.json.encode(now))
        if seen.mark != mark:
            _put_mark(tree, f"{mark}\n".encode())
        elif self._known is None:
            _remove_half(tree)
        self._known = now


def _put_mark(tree: Beneath, content: bytes) -> None:
    """Write the mark by way of a name of its own: a power cut in between leaves what the next start knows and removes."""
    _remove_half(tree)
    try:
        with open(tree.create(_HALF), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            flush(file)
        tree.rename(_HALF, MARK)
    except OSError:
        # Another user's folder stands there, or nothing can be written at all.
        tree.write(MARK, content)


def _remove_half(tree: Beneath) -> None:
    with contextlib.suppress(OSError, Linked):
        tree.unlink(_HALF)


def _mark(tree: Beneath) -> str:
    """Read the mark; whatever else has its name is none, such as the half that a power cut left."""
    with contextlib.suppress(OSError, Linked, UnicodeDecodeError):
        found = tree.read(MARK, _MARK_BYTES).decode("ascii").strip()
        return found if _A_MARK.fullmatch(found) else ""
    return ""


def _read(file: Path, path: str) -> KnownOutbox | None:
    """Recall the outbox; one that the settings moved is another one."""
    try:
        known = msgspec.json.decode(file.read_bytes(), type=primed(KnownOutbox))
    except (FileNotFoundError, *UNREADABLE):
        return None
    return known if known.path == path else None
