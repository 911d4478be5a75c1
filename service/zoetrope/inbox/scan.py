"""Looking at the inbox on disk: whole scans, single looks, and whether a file can be read at all."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterable

import msgspec

from ..beneath import DEPTH, Beneath, Linked
from ..host import shown
from .entry import CLAIMED, REFUSED, EntryKind, classify, is_foreign, joined
from .stability import FileStat

log = logging.getLogger("zoetrope.inbox")

# Bounds on memory, whatever is dropped; the rest is found when these have been taken.
MAX_FILES = 50_000
MAX_FOLDERS = 10_000


class Scan(msgspec.Struct):
    """What a walk through some folders found."""

    files: dict[str, FileStat] = {}
    folders: dict[str, tuple[int, int]] = {}  # each that was walked, with its device and number
    devices: dict[str, int] = {}  # of the folders directly in the inbox
    unreadable: list[str] = []
    whole: bool = True  # false when there was more than a scan holds


def scan(root: str, folders: Iterable[str] = ("",)) -> Scan:
    """Walk folders of the inbox, through no link; an error at one of them is raised, one below is noted."""
    found = Scan()
    waiting = list(folders)
    first = set(waiting)
    number = 0
    with Beneath(root) as tree:
        while waiting:
            folder = waiting.pop()
            try:
                with tree.folder(folder) as at, os.scandir(at) as entries:
                    own = os.fstat(at)
                    found.folders[folder] = own.st_dev, own.st_ino
                    for entry in entries:
                        path = joined(folder, entry.name)
                        if is_foreign(entry.name) or path in (CLAIMED, REFUSED):
                            continue
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        if not stat.S_ISDIR(status.st_mode):
                            # What nobody ever takes must not stand in the way of what is taken.
                            if classify(path).kind is not EntryKind.IGNORED:
                                found.files[path] = FileStat.of(status)
                        elif number >= MAX_FOLDERS:
                            found.whole = False
                        elif path.count("/") < DEPTH:
                            number += 1
                            waiting.append(path)
                            if not folder:
                                found.devices[path] = status.st_dev
                        else:
                            found.unreadable.append(path)
                        if len(found.files) >= MAX_FILES:
                            found.whole = False
                            return found
            except Linked:
                continue
            except FileNotFoundError:
                if folder in first:
                    raise
            except PermissionError:
                if folder in first:
                    raise
                found.unreadable.append(folder)
    return found


def look(root: str, paths: Iterable[str]) -> dict[str, FileStat | None]:
    """Look at single files; None for a folder. What is not there is left out."""
    found: dict[str, FileStat | None] = {}
    with contextlib.suppress(OSError), Beneath(root) as tree:
        for path in paths:
            status = _status(tree, path)
            if status is not None:
                found[path] = None if stat.S_ISDIR(status.st_mode) else FileStat.of(status)
    return found


def probe(root: str, paths: Iterable[str]) -> dict[str, FileStat | None]:
    """Look at files by opening them; None for one that we may not read. What is not there is left out.

    Opening makes a network file system ask its server, where a plain stat may answer from memory.
    """
    found: dict[str, FileStat | None] = {}
    with contextlib.suppress(OSError), Beneath(root) as tree:
        for path in paths:
            status = _status(tree, path)
            if status is None:
                continue
            found[path] = FileStat.of(status)
            if not stat.S_ISREG(status.st_mode):
                continue  # a link or a pipe is rejected later without ever being opened
            try:
                handle = tree.open(path)
            except PermissionError:
                found[path] = None
            except (OSError, Linked):
                # It went away or became something else this moment; the next look tells.
                del found[path]
            else:
                found[path] = FileStat.of(os.fstat(handle))
                os.close(handle)
    return found


def _status(tree: Beneath, path: str) -> os.stat_result | None:
    try:
        return tree.stat(path)
    except (OSError, Linked):
        return None


def tell_unreadable(path: str) -> None:
    """Say that something stays where it is."""
    log.warning(
        "%s cannot be read by the service and stays where it is; make it readable for its group",
        shown(path),
        extra={"action": "unreadable"},
    )
