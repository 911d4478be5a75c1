"""The file that says how long things have been kept; without it everything is young again, and nothing is lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from ..durable import put
from ..structs import UNREADABLE, primed
from .keep import Count, KeepBook, KeptKind

log = logging.getLogger("zoetrope.keep")


def read(file: Path) -> KeepBook:
    """Read the book; one that is missing or cannot be read is empty, and everything's age begins anew."""
    try:
        book = msgspec.json.decode(file.read_bytes(), type=primed(KeepBook))
    except FileNotFoundError:
        return KeepBook()
    except (OSError, *UNREADABLE) as error:
        said = "the record of ages cannot be read (%s); all ages count from now on"
        log.warning(said, error, extra={"action": "keep-book"})
        return KeepBook()
    return _renamed(book, lambda name: os.fsdecode(unquote_to_bytes(name)))


def save(file: Path, book: KeepBook) -> None:
    """Write the book as a whole, durably; an OSError leaves the one before."""
    # Names on a share may hold bytes that are no text.
    readable = _renamed(book, lambda name: quote_from_bytes(os.fsencode(name)))
    put(file, msgspec.json.encode(readable))


def _renamed(book: KeepBook, rename: Callable[[str], str]) -> KeepBook:
    things: dict[KeptKind, dict[str, Count]] = {
        kind: {rename(name): count for name, count in counts.items()}
        for kind, counts in book.things.items()
    }
    return KeepBook(wall=book.wall, things=things)
