"""What the helper remembers across boots, as values: marks of what has to be undone, and how every profile did."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from ..errors import Reason
from .bounds import MOST_CARDS, MOST_RECORDS, CardName, Moment, ProfileName, ProfileOrStock
from .probation import UNREADABLE, Record
from .profile import Knob

SCHEMA = 1


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Written before a GPU is touched, taken away after it was put back: what stands is what has to be undone."""

    profile: ProfileOrStock
    knobs: Annotated[tuple[Knob, ...], msgspec.Meta(max_length=8)]
    boot: Annotated[str, msgspec.Meta(max_length=100)]  # the kernel's id of the boot
    since: Moment


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One GPU: what a user chose, what is in force, and how every profile did."""

    held: ProfileOrStock | None = None  # "" for stock, None for what the settings say
    mark: Mark | None = None
    records: Annotated[dict[ProfileName, Record], msgspec.Meta(max_length=MOST_RECORDS)] = {}

    def with_record(self, name: str, record: Record) -> Page:
        """Give the page with a record; of too many, the oldest goes that disables nothing, if there is one."""
        records = {**self.records, name: record}
        while len(records) > MOST_RECORDS:
            others = [each for each in records if each != name]
            del records[min(others, key=lambda n: (not records[n].usable, records[n].since))]
        return msgspec.structs.replace(self, records=records)

    @property
    def weight(self) -> tuple[bool, bool, float]:
        """How much would be lost with it: what has to be undone, what is disabled, then what is new."""
        records = self.records.values()
        return (
            self.mark is not None,
            not all(record.usable for record in records),
            max((record.since for record in records), default=0.0),
        )


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier book could not be read, so nobody knows which profiles are disabled: all are, until root says otherwise."""

    why: Annotated[str, msgspec.Meta(max_length=1000)]
    kept: Annotated[str, msgspec.Meta(max_length=4096)]  # where it lies now
    since: Moment

    @property
    def reason(self) -> Reason:
        """What people read, and what they can do."""
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.since))
        return Reason(
            UNREADABLE,
            f"The record of disabled profiles was not readable on {when} ({self.why}), so every profile is"
            f" disabled. It was kept as {self.kept}.",
            "Why profiles were disabled before: journalctl -u zoetrope-gpu. To enable all of them as untried,"
            " run as root: zoetrope gpu enable",
        )


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All GPUs by UUID."""

    schema: int = SCHEMA
    cards: Annotated[dict[CardName, Page], msgspec.Meta(max_length=MOST_CARDS)] = {}
    closed: Closed | None = None

    def page(self, uuid: str) -> Page:
        """Give a GPU's page, an empty one for a GPU that is new."""
        return self.cards.get(uuid, Page())

    def with_page(self, uuid: str, page: Page) -> Book:
        """Give the book with another page; of too many, one goes that disables and undoes nothing, if there is one."""
        cards = {**self.cards, uuid: page}
        while len(cards) > MOST_CARDS:
            others = [each for each in cards if each != uuid]
            del cards[min(others, key=lambda each: cards[each].weight)]
        return msgspec.structs.replace(self, cards=cards)


def boot_id(file: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Name this boot of the kernel."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def unclean(book: Book) -> Mapping[str, Mark]:
    """Name the GPUs that an earlier end left tuned, or may have."""
    return {uuid: page.mark for uuid, page in book.cards.items() if page.mark is not None}
