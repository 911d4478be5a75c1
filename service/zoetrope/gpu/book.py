"""What the helper remembers across boots: a file that only root writes, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..durable import sync, write
from ..structs import primed
from .probation import Record
from .profile import Knob

SCHEMA = 1


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Written before a GPU is touched, taken away after it was put back: what stands is what has to be undone."""

    profile: str
    knobs: tuple[Knob, ...]
    boot: str  # the kernel's id of the boot in which it was written
    since: float


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One GPU: what a user chose, what is in force, and how every profile did."""

    held: str | None = None  # a profile's name, "" for stock, None for what the settings say
    mark: Mark | None = None
    records: dict[str, Record] = {}


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All GPUs by UUID."""

    schema: int = SCHEMA
    cards: dict[str, Page] = {}

    def page(self, uuid: str) -> Page:
        """Give a GPU's page, an empty one for a GPU that is new."""
        return self.cards.get(uuid, Page())

    def with_page(self, uuid: str, page: Page) -> Book:
        """Give the book with another page."""
        return msgspec.structs.replace(self, cards={**self.cards, uuid: page})


class BookFile:
    """The book on the disk."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.spoilt: str = ""  # why the last file was put aside

    def read(self) -> Book:
        """Read it; one that cannot be understood is put aside, and everything begins at stock."""
        try:
            book = msgspec.json.decode(self.file.read_bytes(), type=primed(Book))
        except FileNotFoundError:
            return Book()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.spoilt = f"{self.file} was not readable ({error})"
        else:
            if book.schema == SCHEMA:
                return book
            self.spoilt = f"{self.file} has the schema {book.schema}"
        self.file.replace(self.file.with_suffix(".spoilt"))
        return Book()

    def write(self, book: Book) -> None:
        """Write it so that a crash leaves the old or the new one, never a piece."""
        part = self.file.with_suffix(".part")
        write(part, msgspec.json.format(msgspec.json.encode(book), indent=2) + b"\n")
        part.replace(self.file)
        sync(self.file.parent)


def boot_id(file: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Name this boot of the kernel."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def unclean(book: Book) -> Mapping[str, Mark]:
    """Name the GPUs that an earlier end left tuned, or may have."""
    return {uuid: page.mark for uuid, page in book.cards.items() if page.mark is not None}
