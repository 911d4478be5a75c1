"""Retention: what of ended work goes, and when, as a pure decision over what was found and how long it was seen.

Age is time for which this service saw a thing unchanged, not a difference of dates: a clock that is set
fifty years ahead makes nothing old.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from ..errors import Reason
from ..host import shown
from ..settings import KeepSettings

DAY = 86_400.0
HOUR = 3600.0
GIGABYTE = 1_000_000_000
# Between two runs of the service the wall clock alone says how long it was, and is believed this far.
MOST_BETWEEN = DAY
# Whoever is at a failed job just now can still retry it, however little room work may take.
YOUNG = HOUR


class KeptKind(StrEnum):
    """What is kept for a time."""

    WORK = "work"  # the work folder of a failed, cancelled, declined or rejected job
    REJECTED = "rejected"  # a picture in `rejected/`, with its reason and its ticket
    OUTBOX = "outbox"  # a finished job's folder


class RemovalReason(StrEnum):
    """Why something goes."""

    AGE = "age"
    ROOM = "room"  # all work together takes more than it may


class KeptThing(msgspec.Struct, frozen=True, kw_only=True):
    """One thing as a look found it; with another `mark` it is another thing, whose age begins anew."""

    kind: KeptKind
    name: str
    mark: str
    since: float = 0.0  # by the wall clock; it orders things of the same age, and nothing more
    size: int = 0
    held: bool = False  # its job waits, runs, is in review, or cannot be told: it never goes


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A thing, and for how many seconds it has been seen."""

    found: KeptThing
    age: float


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that goes now."""

    kept: Kept
    why: RemovalReason


class Count(msgspec.Struct, frozen=True):
    """What the book says of one thing."""

    mark: str
    age: Annotated[float, msgspec.Meta(ge=0, le=1e11)]
    size: Annotated[int, msgspec.Meta(ge=0)]


class KeepBook(msgspec.Struct, frozen=True, kw_only=True):
    """How long each thing has been seen, as it is written down between two looks."""

    wall: float = 0.0  # the clock at the last look; 0 before the first one
    things: dict[KeptKind, dict[str, Count]] = {}

    def size(self, kind: KeptKind, name: str, mark: str) -> int | None:
        """Give the size that was measured before; nothing that has ended grows."""
        known = self.things.get(kind, {}).get(name)
        return known.size if known is not None and known.mark == mark else None


def elapsed(book: KeepBook, wall: float, steady: float | None) -> float:
    """Say how much older everything is than at the last look.

    `steady` is what a clock that nobody sets says; it is None for the first look of a process.
    """
    if steady is not None:
        return max(0.0, steady)
    if not book.wall:
        return 0.0
    return min(max(0.0, wall - book.wall), MOST_BETWEEN)


def aged(book: KeepBook, found: Iterable[KeptThing], passed: float) -> tuple[Kept, ...]:
    """Give each thing its age: none for one that is new, or that changed."""
    kept = []
    for each in found:
        known = book.things.get(each.kind, {}).get(each.name)
        same = known is not None and known.mark == each.mark
        kept.append(Kept(found=each, age=known.age + passed if known and same else 0.0))
    return tuple(kept)


def written(
    book: KeepBook, kept: Iterable[Kept], unseen: Iterable[KeptKind], wall: float
) -> KeepBook:
    """Give the next book; of kinds that could not be looked at, it says what it said."""
    blind = frozenset(unseen)
    things: dict[KeptKind, dict[str, Count]] = {
        kind: counts for kind, counts in book.things.items() if kind in blind
    }
    for each in kept:
        found = each.found
        if not found.held:
            things.setdefault(found.kind, {})[found.name] = Count(found.mark, each.age, found.size)
    return KeepBook(wall=wall, things=things)


def days(kind: KeptKind, keep: KeepSettings) -> float:
    """Say how many days a kind stays; 0 is for ever."""
    return {
        KeptKind.WORK: keep.work_days,
        KeptKind.REJECTED: keep.rejected_days,
        KeptKind.OUTBOX: keep.outbox_days,
    }[kind]


def due_removals(kept: Iterable[Kept], keep: KeepSettings) -> tuple[Removal, ...]:
    """Decide what is removed now, oldest first.

    What is held never goes. Work beyond `work_gigabytes` goes oldest first, even before its days are
    over, but not within the first hour.
    """
    loose = sorted((each for each in kept if not each.found.held), key=_oldest_first)
    going: list[Removal] = []
    staying: list[Kept] = []
    for each in loose:
        limit = days(each.found.kind, keep) * DAY
        if limit and each.age >= limit:
            going.append(Removal(kept=each, why=RemovalReason.AGE))
        elif each.found.kind is KeptKind.WORK:
            staying.append(each)
    most = keep.work_gigabytes * GIGABYTE
    total = sum(each.found.size for each in staying)
    for each in staying:
        if not most or total <= most:
            break
        if each.age >= YOUNG:
            going.append(Removal(kept=each, why=RemovalReason.ROOM))
            total -= each.found.size
    return tuple(sorted(going, key=lambda removal: _oldest_first(removal.kept)))


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """How many things of a kind are kept, and how much they take."""

    kind: KeptKind
    count: int
    bytes: int


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What goes first of all that is kept: a job's id or a file's path, and when, as a unix time."""

    kind: KeptKind
    name: str
    bytes: int
    at: float


def sums(book: KeepBook) -> tuple[Sum, ...]:
    """Add up what the book says."""
    return tuple(
        Sum(kind=kind, count=len(counts), bytes=sum(count.size for count in counts.values()))
        for kind, counts in sorted(book.things.items())
        if counts
    )


def next_removal(book: KeepBook, keep: KeepSettings) -> Due | None:
    """Say what goes first of what the book holds, if anything of it ever does."""
    due = (
        Due(
            kind=kind,
            name=name,
            bytes=count.size,
            at=book.wall + max(0.0, limit * DAY - count.age),
        )
        for kind, counts in book.things.items()
        if (limit := days(kind, keep))
        for name, count in counts.items()
    )
    return min(due, key=lambda each: (each.at, each.name), default=None)


_REASON = re.compile(r"(?: \(\d+\))?\.why\.txt\Z")

_NOUNS: Mapping[KeptKind, tuple[str, str]] = {
    KeptKind.WORK: ("the work of 1 ended job", "the work of {} ended jobs"),
    KeptKind.REJECTED: ("1 rejected picture", "{} rejected pictures"),
    KeptKind.OUTBOX: ("1 finished video", "{} finished videos"),
}


def described(found: Sequence[Sum], counted: float | None = None) -> str:
    """Say what is kept: "the work of 12 ended jobs (31.2 GB), 3 rejected pictures (12 MB), counted at 19:55"."""
    kept = ", ".join(
        f"{one if each.count == 1 else more.format(each.count)} ({amount(each.bytes)})"
        for each in found
        for one, more in [_NOUNS[each.kind]]
    )
    if not kept or not counted:
        return kept
    return kept + time.strftime(", counted at %H:%M", time.localtime(counted))


def announced(due: Due) -> str:
    """Say what goes next: "the work of job 1f3a9c2e will be removed on 2026-03-01 (2.1 GB)"."""
    name = {
        KeptKind.WORK: f"the work of job {due.name[:8]}",
        # Together they are known by the reason's name; what people miss is the picture.
        KeptKind.REJECTED: shown(_REASON.sub("", due.name)),
        KeptKind.OUTBOX: shown(due.name),
    }[due.kind]
    return f"{name} will be removed on {date(due.at)} ({amount(due.bytes)})"


def setting_of(kind: KeptKind, keep: KeepSettings) -> str:
    """Name the settings to lower so that things of a kind go sooner, each with its value."""
    names = [f"{kind}_days"] + (["work_gigabytes"] if kind is KeptKind.WORK else [])
    return " or ".join(f"keep.{name} ({getattr(keep, name):g})" for name in names)


def amount(size: int) -> str:
    """Write a number of bytes as people read it."""
    if size >= GIGABYTE:
        return f"{size / GIGABYTE:.1f} GB"
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{-(-size // 1000)} kB"


def date(moment: float) -> str:
    """Write a moment as the day that it is on this host."""
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def _oldest_first(kept: Kept) -> tuple[float, float, str]:
    return -kept.age, kept.found.since, kept.found.name


class KeepStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, what goes next, and what keeps retention from a place."""

    kept: tuple[Sum, ...] = ()
    next: Due | None = None
    looked: float | None = None  # unix time of the last look
    problems: tuple[Reason, ...] = ()
