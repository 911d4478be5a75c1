"""The helper's book on the disk: a file that only root writes, whole or not at all, and that always can be read back."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..durable import put, sync
from ..host import shown
from ..structs import primed
from .book import SCHEMA, Book, Closed
from .faults import GpuError

# Room for every record of every GPU; whatever is larger was not written by the helper.
LONGEST = 8 * 1024 * 1024
UNREADABLE = "unreadable"
# The host's trouble of this moment, which says nothing about the file.
MOMENTARY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


class BookError(GpuError):
    """The book cannot be written, so nothing is done that would have to be in it."""

    key = "gpu-book-write"


class NoBook(Exception):
    """What lies in the book's place is none; the text says why."""


class BookFile:
    """The book's place on the disk."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.file = file
        self.spoilt = False  # whether what was read last was none
        self._clock = clock
        self._in_the_way = False  # something unreadable still has the book's name

    def read(self) -> Book:
        """Read it; one that cannot be read is kept aside, and the book that begins is closed until root opens it."""
        try:
            return decode(self._content())
        except FileNotFoundError:
            kept = sorted(self.file.parent.glob(f"{self.file.stem}-*.{UNREADABLE}"))
            if not kept:
                return Book()
            # Whatever came between keeping one aside and writing the next must not open everything.
            return self._closed("it is missing, and an unreadable one is next to it", kept[-1])
        except OSError as error:
            if error.errno in MOMENTARY:
                raise
            why = error.strerror or type(error).__name__
        except NoBook as error:
            why = str(error)
        self._in_the_way = True
        try:
            return self._closed(why, self._keep_aside())
        except OSError:
            return self._closed(why, self.file)

    def write(self, book: Book) -> None:
        """Write it whole or not at all, even through a crash; one that could not be read back is never written."""
        content = msgspec.json.format(msgspec.json.encode(book), indent=2) + b"\n"
        try:
            decode(content)
        except NoBook as error:
            raise BookError(
                f"The record of profiles would not be readable ({error}).",
                "This is a bug; please report it with the log: journalctl -u zoetrope-gpu",
            ) from error
        try:
            if self._in_the_way:
                self._keep_aside()
            put(self.file, content, 0o600)
        except OSError as error:
            raise BookError(
                f"The record of profiles at {self.file} cannot be written"
                f" ({error.strerror or type(error).__name__}), so no GPU is tuned.",
                "Check the disk: df, dmesg; it goes on by itself.",
            ) from error

    def _content(self) -> bytes:
        """Read the file, if it is one that only root can have written."""
        # Never through a link, and never waiting for the other end of a pipe.
        handle = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise NoBook("it is not a file")
            if about.st_uid not in (0, os.geteuid()):
                raise NoBook(f"it belongs to the user {about.st_uid}")
            if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise NoBook("users other than root can write it")
            with open(handle, "rb", closefd=False) as file:
                content = file.read(LONGEST + 1)
        finally:
            os.close(handle)
        if len(content) > LONGEST:
            raise NoBook(f"it has more than {LONGEST} bytes")
        return content

    def _closed(self, why: str, kept: Path) -> Book:
        self.spoilt = True
        return Book(closed=Closed(why=shown(why)[:500], kept=shown(str(kept)), since=self._clock()))

    def _keep_aside(self) -> Path:
        """Give what is no book a name that says when."""
        when = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(self._clock()))
        number, kept = 1, self.file.with_name(f"{self.file.stem}-{when}.{UNREADABLE}")
        while os.path.lexists(kept):
            number += 1
            kept = self.file.with_name(f"{self.file.stem}-{when}-{number}.{UNREADABLE}")
        self.file.rename(kept)
        sync(self.file.parent)
        self._in_the_way = False
        return kept


def decode(content: bytes) -> Book:
    """Read a book, or raise NoBook with what is wrong about it."""
    try:
        book: Book = msgspec.json.decode(content, type=primed(Book))
    except RecursionError as error:
        raise NoBook("it is nested too deeply") from error
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise NoBook(str(error)) from error
    if book.schema != SCHEMA:
        raise NoBook(f"it has the schema {book.schema}")
    return book
