"""Links among model files: where they lead, and whether what is there may be reported.

Folders of models often hold links to other disks, so links are followed. But whoever makes a link must not learn
through the service what is in a file that they cannot read; nor may the owner of a folder on the way learn it, by
exchanging what is in that folder. So each step of the way is held open, and looked at, before the next is taken from it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

MOST = 40  # links on the way to one file, as many as the kernel follows
DEEPEST = 64  # folders that one file is in: each is held open

# With the flag for folders a share that is mounted when it is used is mounted.
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: a pipe in its place would keep whoever opens it for ever.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Way(msgspec.Struct, frozen=True):
    """Where a path leads, whose links lead there, what is there, and whether every user can go there."""

    real: str
    owners: frozenset[int]
    about: os.stat_result
    open_to_all: bool


class Reached(msgspec.Struct, frozen=True):
    """What a path leads to, for as long as the folder that it is in is held open."""

    way: Way
    folder: int
    name: str

    def open(self) -> int:
        """Open for reading just what was reached; an OSError if something else is in its place by now."""
        handle = os.open(self.name, _READ, dir_fd=self.folder)
        if not os.path.samestat(os.fstat(handle), self.way.about):
            os.close(handle)
            raise OSError(errno.ESTALE, "another file is in its place by now")
        return handle


@contextlib.contextmanager
def follow(file: Path) -> Iterator[Reached]:
    """Follow every link on the way to a file, and hold what is there."""
    steps = list(file.absolute().parts[1:])
    owners: list[int] = []
    with _Folders() as folders:
        while steps:
            step = steps.pop(0)
            if step == "..":
                folders.leave()
            elif not (steps and folders.enter(step)):
                at = os.open(step, _ANY, dir_fd=folders.last)
                try:
                    about = os.fstat(at)
                    if not stat.S_ISLNK(about.st_mode):
                        if steps:
                            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                        way = Way(
                            folders.path(step), frozenset(owners), about, folders.open_to_all()
                        )
                        yield Reached(way, folders.last, step)
                        return
                    target = Path(os.readlink("", dir_fd=at))  # of the link that is held
                finally:
                    os.close(at)
                owners.append(about.st_uid)
                if len(owners) > MOST:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target.is_absolute():
                    folders.leave(all_of_them=True)
                steps[:0] = target.parts[1:] if target.is_absolute() else target.parts
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def may_report(way: Way, us: int) -> bool:
    """Return whether size and hash of what a path leads to may be shown to whoever asks the service.

    Root and the service may link to anything, other users to their own files and to what every user can read.
    """
    if way.owners <= {0, us, way.about.st_uid}:
        return True
    return bool(way.about.st_mode & stat.S_IROTH) and way.open_to_all


class _Folders:
    """The folders from the root to where a walk has come, each with its name and held open."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._held: list[int] = []

    def __enter__(self) -> _Folders:
        self._held.append(os.open("/", _FOLDER))
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            os.close(self._held.pop())

    @property
    def last(self) -> int:
        return self._held[-1]

    def path(self, name: str) -> str:
        return "/".join(("", *self._names, name))

    def enter(self, name: str) -> bool:
        """Go into a folder; false where there is a link, or something else."""
        try:
            at = os.open(name, _FOLDER, dir_fd=self.last)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                return False
            raise
        self._held.append(at)
        self._names.append(name)
        if len(self._names) > DEEPEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return True

    def leave(self, *, all_of_them: bool = False) -> None:
        """Go to the folder above, or to the root."""
        while self._names:
            os.close(self._held.pop())
            self._names.pop()
            if not all_of_them:
                break

    def open_to_all(self) -> bool:
        """Return whether every user can go through all of them."""
        return all(os.fstat(each).st_mode & stat.S_IXOTH for each in self._held)
