"""Copying a claimed picture into its work folder: streamed, hashed, flushed, and checked for a late writer."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..beneath import Beneath, Linked, Place
from ..durable import flush, sync
from ..errors import NotReadable, Rejected
from ..host import shown
from .formats import HEAD, MOVING_SUFFIXES, SUFFIXES, UNKNOWN, sniff, sniff_moving
from .source_image import CopiedSource
from .stability import FileStat

_CHUNK = 1 << 20


class StillChanging(Exception):
    """The file was written to while it was copied; copy it again when it has settled."""


def copy(file: Place, folder: Path, stem: str, max_megabytes: int) -> tuple[CopiedSource, FileStat]:
    """Copy a picture's bytes as `<stem>.<ext>`; the look is the file's, from after the copy."""
    handle = _open(file)
    with open(handle, "rb", buffering=0) as stream:  # noqa: PTH123
        # Of what was opened, whatever stands at its name by now.
        before = check_file(os.fstat(handle))
        if before.st_size > max_megabytes * 1_000_000:
            raise Rejected(
                f"The file has {before.st_size / 1e6:.0f} MB, more than {max_megabytes} MB.",
                "Save it smaller, or raise inbox.max_megabytes.",
                key="picture-too-large",
            )
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        head = b""
        size = 0
        target = folder / f"{stem}.new"
        with target.open("wb", buffering=0) as made:
            while chunk := _read(stream, file):
                head = head or chunk[:HEAD]
                digest.update(chunk)
                size += len(chunk)
                made.write(chunk)
                if size > before.st_size:
                    break  # somebody appends; no use in running after them
            flush(made)
        look = FileStat.of(os.fstat(handle))
    if look.signature != FileStat.of(before).signature or size != look.size:
        raise StillChanging
    suffix = SUFFIXES.get(sniff(head) or "") or MOVING_SUFFIXES.get(sniff_moving(head) or "")
    name = stem + (suffix or UNKNOWN)
    target.rename(folder / name)
    return CopiedSource(
        name=shown(file.name), file=name, sha256=digest.hexdigest(), size=size
    ), look


def check_file(found: os.stat_result) -> os.stat_result:
    """Reject what is not a plain file of its own: links can lead out of the inbox or change under us."""
    if stat.S_ISLNK(found.st_mode):
        raise Rejected(
            "It is a link, not a file; links are never followed.",
            "Copy the picture itself into the inbox.",
            key="picture-link",
        )
    if not stat.S_ISREG(found.st_mode):
        raise Rejected(
            "It is not a file but a device, a pipe or a folder.",
            "Copy a picture into the inbox.",
            key="picture-link",
        )
    if found.st_nlink > 1:
        raise Rejected(
            "The file has a second name elsewhere (a hard link), so it could change while we work.",
            "Copy the picture instead of linking it.",
            key="picture-link",
        )
    return found


def _open(file: Place) -> int:
    """Open a picture; what lies behind a link is not there, and a link itself is rejected."""
    try:
        check_file(file.stat())
        return file.open()
    except Linked as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file.whole) from error
    except PermissionError as error:
        raise _unreadable(file, error) from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        # A link or a socket took the file's place just now; the next look says which.
        raise StillChanging from error


def _read(stream: BinaryIO, file: Place) -> bytes:
    """Read on; an error here is the picture's own trouble, one while writing is the host's."""
    try:
        return stream.read(_CHUNK)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Place, error: OSError) -> NotReadable:
    return NotReadable(
        f"{shown(file.name)} cannot be read ({error.strerror}).",
        "Make it readable for the service's group, or copy it again.",
    )


def make_durable(folder: Path, *files: str) -> None:
    """Make files of a work folder, its names and its own name durable."""
    for path in (*(folder / file for file in files), folder, folder.parent):
        sync(path)


def remove(folder: Path) -> None:
    """Remove a work folder with all that it holds, and through no link; one that is gone is well."""
    with contextlib.suppress(FileNotFoundError), Beneath(folder.parent) as tree:
        tree.remove(folder.name)
