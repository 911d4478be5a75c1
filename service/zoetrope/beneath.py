"""Below a folder that others may write in: every path is walked down from a held descriptor, and no link is followed.

Whoever may write on a share may put a link at any name there, at any moment. A path that was looked at is
another one when it is used; a descriptor is not. Where the kernel walks by itself (`openat2.py`), it is asked
first; where it cannot, or says no, the steps here tell what stands where. Both give the same answers.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from . import openat2
from .durable import flush, sync_open
from .errors import NotReadable
from .host import shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To walk through: who may search a folder need not be able to list it.
_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: opening a pipe that stands in the file's place would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Nothing of ours lies deeper; each level that is walked through holds a descriptor.
DEPTH = 32


class Linked(NotReadable):
    """A link, or something else that is no folder, stands where a folder has to be."""

    key = "link-inside"

    def __init__(self, place: str, root: str) -> None:
        super().__init__(
            f"{shown(place)} is a link, or not a folder; links inside {shown(root)} are never followed.",
            "Remove it, or put a real folder in its place; it goes on by itself.",
        )


class Place(msgspec.Struct, frozen=True):
    """A file by the folder that it is reached from, and its path below that."""

    root: Path
    path: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]

    @property
    def whole(self) -> str:
        """The whole path, for people and errors alone."""
        return str(self.root / self.path)

    def stat(self) -> os.stat_result:
        """Look at the file itself, be it a link."""
        with Beneath(self.root) as tree:
            return tree.stat(self.path)

    def open(self) -> int:
        """Open the file for reading; a link at its own name is an OSError."""
        with Beneath(self.root) as tree:
            return tree.open(self.path)


class Beneath:
    """A folder held open, and what is done below it; the folder itself may be reached through links.

    Paths are relative, with "" for the folder itself. What is missing raises FileNotFoundError, what leads
    through a link raises Linked, and every OSError names the whole path.
    """

    def __init__(self, root: str | Path, *, at: int | None = None) -> None:
        self.root = os.fspath(root)
        self._at = at if at is not None else -1

    def __enter__(self) -> Beneath:
        if self._at < 0:
            self._at = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._at)
        self._at = -1

    def full(self, path: str) -> str:
        """Give the whole path, for people and errors alone."""
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    @contextlib.contextmanager
    def folder(self, path: str, *, make: int = 0) -> Iterator[int]:
        """Open a folder for as long as the block lasts; with a mode to `make`, what is missing of it is made."""
        at = self._reach(path, _FOLDER, make=make)
        try:
            yield at
        finally:
            if at != self._at:
                os.close(at)

    @contextlib.contextmanager
    def above(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that a name stands in, to reach the name in it, and give the name with it."""
        above, _, name = path.rpartition("/")
        self._parts(path or ".")
        at = self._reach(above, _WAY)
        try:
            yield at, name
        finally:
            if at != self._at:
                os.close(at)

    def make(self, path: str, mode: int = 0o777) -> None:
        """Make a folder with those above it; one that is there is well."""
        with self.folder(path, make=mode):
            pass

    def stat(self, path: str) -> os.stat_result:
        """Look at what stands at a path, be it a link."""
        with self._named(path) as (at, name):
            return os.stat(name, dir_fd=at, follow_symlinks=False)

    def identity(self, path: str) -> tuple[int, int]:
        """Give what distinguishes a folder from any other that may stand at its path: its device and its number."""
        with self.folder(path) as at:
            found = os.fstat(at)
        return found.st_dev, found.st_ino

    def exists(self, path: str) -> bool:
        """Return whether anything stands at a path; what lies behind a link does not."""
        try:
            self.stat(path)
        except (FileNotFoundError, Linked):
            return False
        return True

    def is_folder(self, path: str) -> bool:
        """Return whether a real folder stands at a path."""
        try:
            return stat.S_ISDIR(self.stat(path).st_mode)
        except (FileNotFoundError, Linked):
            return False

    def changeable(self, path: str) -> bool:
        """Return whether names can be made and removed in a folder."""
        with self.above(f"{path}/any" if path else "any") as (at, _):
            return os.access(".", os.W_OK | os.X_OK, dir_fd=at, effective_ids=True)

    def open(self, path: str) -> int:
        """Open a file for reading; a link at its own name is an OSError (ELOOP)."""
        if self._parts(path) and (file := openat2.below(self._at, path, _FILE)) is not None:
            return file
        with self._named(path) as (at, name):
            return os.open(name, _FILE, dir_fd=at)

    def read(self, path: str, most: int, *, alone: bool = False) -> bytes:
        """Read a plain file, at most so many bytes of it; anything else is an OSError.

        With `alone` so is one with a second name (a hard link): where members make files, it may be one that
        lies outside, and that they may not read.
        """
        with open(self._plain(path, alone), "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read(most)

    def _plain(self, path: str, alone: bool) -> int:
        handle = self.open(path)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or (alone and found.st_nlink > 1):
            os.close(handle)
            raise OSError(errno.EINVAL, "Not a plain file of its own", self.full(path))
        return handle

    def sha256(self, path: str, *, alone: bool = False) -> str:
        """Hash a plain file, as it is read; anything else is an OSError."""
        with open(self._plain(path, alone), "rb") as file:  # noqa: PTH123 - a descriptor
            return hashlib.file_digest(file, "sha256").hexdigest()

    def create(self, path: str) -> int:
        """Open a file for writing that was not there; nothing that stands at its name is written through."""
        with self._named(path) as (at, name):
            return os.open(name, _NEW, 0o666, dir_fd=at)

    def write(self, path: str, content: bytes) -> None:
        """Put a file in place as a whole; what stood at its name is replaced, never written through."""
        with self.replacing(path) as file:
            file.write(content)

    @contextlib.contextmanager
    def replacing(self, path: str) -> Iterator[BinaryIO]:
        """Write a file under a hidden name; when the block ends well, it takes its place."""
        hidden = hidden_name(path)
        try:
            with open(self.create(hidden), "wb") as file:  # noqa: PTH123 - a descriptor
                yield file
                flush(file)
            self.rename(hidden, path)
        except BaseException:
            with contextlib.suppress(OSError, Linked):
                self.unlink(hidden)
            raise

    def rename(self, path: str, to: str) -> None:
        """Rename within the folder; a plain file at the new name is replaced."""
        self.move(path, self, to)

    def move(self, path: str, target: Beneath, to: str) -> None:
        """Rename a file into another held folder, or the same."""
        with self.above(path) as (at, old), target.above(to) as (into, new):
            try:
                os.rename(old, new, src_dir_fd=at, dst_dir_fd=into)
            except OSError as error:
                error.filename, error.filename2 = self.full(path), target.full(to)
                raise

    def unlink(self, path: str) -> None:
        """Remove a name that is no folder's; of a link, the link itself."""
        with self._named(path) as (at, name):
            os.unlink(name, dir_fd=at)

    def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        """List what a folder holds, each name with a look at it."""
        found: list[tuple[str, os.stat_result]] = []
        with self.folder(path) as at, os.scandir(at) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
        return found

    def files(self, path: str) -> list[str]:
        """List everything below a folder that is no folder, by its path from there; links are listed."""
        with self.folder(path) as at:
            return list(_files(at, "", DEPTH))

    def remove(self, path: str) -> None:
        """Remove whatever stands at a path with all that it holds; one that is gone is well."""
        with contextlib.suppress(FileNotFoundError), self._named(path) as (at, name):
            _remove(at, name, DEPTH)

    def remove_empty(self, path: str) -> None:
        """Remove a folder that holds nothing; one that holds anything stays, and one that is gone is well."""
        with self._named(path) as (at, name):
            try:
                os.rmdir(name, dir_fd=at)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise

    def prune(self, path: str) -> None:
        """Remove a folder and those in it as far as they are empty; what holds a file stays."""
        with contextlib.suppress(OSError, Linked), self._named(path) as (at, name):
            _prune(at, name, DEPTH)

    def sync(self, path: str) -> None:
        """Make a folder's names durable."""
        with self.folder(path) as at:
            sync_open(at)

    @contextlib.contextmanager
    def fresh(self, path: str) -> Iterator[Beneath]:
        """Make a folder that was not there, and hold it open; a rename of it is not in the way."""
        with self._named(path) as (at, name):
            os.mkdir(name, dir_fd=at)
            below = self._step(at, name, path, _FOLDER)
        with Beneath(self.full(path), at=below) as tree:
            yield tree

    def link(self, file: Path, path: str) -> None:
        """Give a file of ours a second name below the folder; one that is taken is an OSError."""
        with self._named(path) as (at, name):
            os.link(file, name, dst_dir_fd=at)

    def _parts(self, path: str) -> list[str]:
        parts = path.split("/") if path else []
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            # No file can have such a name, so there is none.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.full(path))
        return parts

    def _reach(self, path: str, last: int, *, make: int = 0) -> int:
        """Open a folder below; of the whole way, `last` are the flags of its last step."""
        parts = self._parts(path)
        if not parts:
            return self._at
        if (found := openat2.below(self._at, path, last)) is not None:
            return found
        at, walked = self._at, ""
        try:
            for number, name in enumerate(parts, 1):
                walked = f"{walked}/{name}" if walked else name
                flags = last if number == len(parts) else _WAY
                below = self._step(at, name, walked, flags, make=make)
                if at != self._at:
                    os.close(at)
                at = below
        except BaseException:
            if at != self._at:
                os.close(at)
            raise
        return at

    def _step(self, at: int, name: str, walked: str, flags: int, *, make: int = 0) -> int:
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, make, dir_fd=at)
            return os.open(name, flags, dir_fd=at)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Linked(self.full(walked), self.root) from error
            error.filename = self._blamed(error, at, walked)
            raise

    def _blamed(self, error: OSError, at: int, path: str) -> str:
        """Say which place an error is about: a folder that is closed is named, not what lies in it."""
        closed = error.errno == errno.EACCES and not os.access(
            ".", os.X_OK, dir_fd=at, effective_ids=True
        )
        return self.full(path.rpartition("/")[0] if closed else path)

    @contextlib.contextmanager
    def _named(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that a name stands in, and let errors of the block tell the whole path."""
        with self.above(path) as (at, name):
            try:
                yield at, name
            except OSError as error:
                error.filename = self._blamed(error, at, path)
                raise


def hidden_name(path: str) -> str:
    """Give the hidden name under which a file is written before it takes its own."""
    above, slash, _ = path.rpartition("/")
    return f"{above}{slash}.{uuid.uuid4().hex}.part"


def _children(at: int) -> list[tuple[str, bool]]:
    """List a folder's names, and of each whether it is a real folder."""
    with os.scandir(at) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _files(at: int, prefix: str, depth: int) -> Iterator[str]:
    for name, is_folder in _children(at):
        if not is_folder:
            yield prefix + name
        elif depth:
            # What became a link meanwhile, or is not ours to read, is left where it is.
            with contextlib.suppress(OSError):
                below = os.open(name, _FOLDER, dir_fd=at)
                try:
                    yield from _files(below, f"{prefix}{name}/", depth - 1)
                finally:
                    os.close(below)


def _remove(at: int, name: str, depth: int) -> None:
    try:
        below = os.open(name, _FOLDER, dir_fd=at)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        os.unlink(name, dir_fd=at)
        return
    try:
        for child, is_folder in _children(below):
            if is_folder and depth:
                _remove(below, child, depth - 1)
            else:
                os.unlink(child, dir_fd=below)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=at)


def _prune(at: int, name: str, depth: int) -> None:
    below = os.open(name, _FOLDER, dir_fd=at)
    try:
        for child, is_folder in _children(below):
            if is_folder and depth:
                with contextlib.suppress(OSError):
                    _prune(below, child, depth - 1)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=at)
