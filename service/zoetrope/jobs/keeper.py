"""The keeper: looks every hour at what is kept of ended work, and removes what its time is over for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ..errors import Reason, ZoetropeError
from ..host import shown, trouble
from ..logs import log_failure
from ..settings import Settings
from . import keep_book as books
from .keep import (
    HOUR,
    KeepBook,
    KeepStatus,
    Kept,
    KeptKind,
    KeptThing,
    Removal,
    RemovalReason,
    aged,
    amount,
    due_removals,
    elapsed,
    next_removal,
    sums,
    written,
)

log = logging.getLogger("zoetrope.keep")

FIRST_SECONDS = 60.0  # after the start, which has other things to do
EVERY_SECONDS = HOUR
SHORT_SECONDS = 600.0  # between two looks while a disk is short of room
GLANCE_SECONDS = 10.0  # between two questions whether one is
# Of one kind in one look; then the place is in trouble, and the next look tries again.
MOST_FAILURES = 20


class Holding(Protocol):
    """A place where things of one kind are kept."""

    kind: KeptKind

    async def clear(self) -> None:
        """Remove what nobody needs: what an earlier process was about to remove."""

    async def look(self, known: Callable[[str, str], int | None], /) -> list[KeptThing]:
        """Find every thing; `known` gives the size of a name and mark that was measured before."""

    async def remove(self, found: KeptThing) -> bool:
        """Remove a thing as it was found; false if it is needed again or is another one by now."""


class Keeper:
    """Counts ages, decides and removes; what is wrong with one thing or place keeps no other."""

    def __init__(
        self,
        settings: Settings,
        holdings: Sequence[Holding],
        *,
        short: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._settings = settings
        self._holdings = holdings
        self._short = short
        self._clock = clock
        self._steady = steady
        self._book: KeepBook | None = None
        self._last: float | None = None  # by the steady clock
        self._status = KeepStatus()
        self._problems: dict[KeptKind, Reason] = {}
        # Those of the look before, which were logged then.
        self._before: dict[KeptKind, Reason] = {}
        # What could not be removed at the last look.
        self._failed: set[tuple[KeptKind, str]] = set()
        self._unsaved = False

    @property
    def status(self) -> KeepStatus:
        """What is kept, and what goes next."""
        return msgspec.structs.replace(self._status, problems=tuple(self._problems.values()))

    async def run(self) -> None:
        """Look a while after the start, then every hour, and at once when a disk becomes short; until cancelled."""
        for holding in self._holdings:
            await self._clear(holding)
        await self._pause(FIRST_SECONDS)
        while True:
            try:
                await self.sweep()
            except Exception as error:  # a mistake of ours must not end the service
                log_failure(log, error, "retention failed; retrying", {"action": "keep-error"})
            await self._pause(EVERY_SECONDS)

    async def sweep(self) -> tuple[Removal, ...]:
        """Look at everything once and remove what goes; gives what was removed."""
        if self._book is None:
            self._book = await asyncio.to_thread(books.read, self._settings.keep_book)
        wall, steady = self._clock(), self._steady()
        since = None if self._last is None else steady - self._last
        passed = elapsed(self._book, wall, since)
        self._before, self._problems = self._problems, {}
        found: list[KeptThing] = []
        holdings: dict[KeptKind, Holding] = {}
        for holding in self._holdings:
            # One thing that cannot be cleared away keeps no other from being looked at.
            await self._clear(holding)
            try:
                found += await holding.look(self._measured(holding.kind))
            except (OSError, ZoetropeError) as error:
                self._note_problem(holding.kind, error)
            else:
                holdings[holding.kind] = holding
        kept = aged(self._book, found, passed)
        self._last = steady
        unseen = [each.kind for each in self._holdings if each.kind not in holdings]
        # Before anything goes: a process that is killed meanwhile has counted all the same.
        await self._write(kept, unseen, wall)
        removed = await self._remove(due_removals(kept, self._settings.keep), holdings)
        if removed:
            gone = {id(removal.kept) for removal in removed}
            await self._write([each for each in kept if id(each) not in gone], unseen, wall)
        return removed

    async def _clear(self, holding: Holding) -> None:
        try:
            await holding.clear()
        except (OSError, ZoetropeError) as error:
            self._note_problem(holding.kind, error)

    async def _remove(
        self, going: Sequence[Removal], holdings: dict[KeptKind, Holding]
    ) -> tuple[Removal, ...]:
        removed: list[Removal] = []
        failed = dict.fromkeys(KeptKind, 0)
        before, self._failed = self._failed, set()
        # What could not be removed at the last look comes last, or a few such things would keep all others.
        for removal in sorted(going, key=lambda each: _place(each) in before):
            found = removal.kept.found
            if failed[found.kind] >= MOST_FAILURES:
                self._failed |= {_place(removal)} & before
                continue
            try:
                if not await holdings[found.kind].remove(found):
                    continue
            except (OSError, ZoetropeError) as error:
                failed[found.kind] += 1
                self._failed.add(_place(removal))
                self._note_problem(found.kind, error)
            else:
                removed.append(removal)
                _tell(removal)
        return tuple(removed)

    def _measured(self, kind: KeptKind) -> Callable[[str, str], int | None]:
        book = self._book or KeepBook()
        return lambda name, mark: book.size(kind, name, mark)

    async def _write(self, kept: Sequence[Kept], unseen: Sequence[KeptKind], wall: float) -> None:
        """Write the book; while it cannot be written, this process goes by what it knows."""
        self._book = book = written(self._book or KeepBook(), kept, unseen, wall)
        self._status = KeepStatus(
            kept=sums(book), next=next_removal(book, self._settings.keep), looked=wall
        )
        try:
            await asyncio.to_thread(books.save, self._settings.keep_book, book)
        except OSError as error:
            if not self._unsaved:
                said = trouble(error) or error
                log.warning("ages could not be written: %s", said, extra={"action": "keep-book"})
            self._unsaved = True
        else:
            self._unsaved = False

    def _note_problem(self, kind: KeptKind, error: OSError | ZoetropeError) -> None:
        """Say once what keeps retention from a kind; the next look tries again."""
        if isinstance(error, ZoetropeError):
            reason = error.reason
        else:
            reason = trouble(error) or Reason(
                "keep-trouble",
                f"Something that is kept cannot be removed: {shown(str(error))}.",
                "Check its folder; the removal is retried every hour.",
            )
        known = self._problems.get(kind) or self._before.get(kind)
        if known is None or known.key != reason.key:
            log.warning("retention waits: %s", reason, extra={"action": reason.key})
        self._problems[kind] = reason

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until a disk is short of room; while it stays short, for a shorter time."""
        short = self._short()
        waited = 0.0
        while waited < (SHORT_SECONDS if short else seconds):
            await asyncio.sleep(GLANCE_SECONDS)
            waited += GLANCE_SECONDS
            now = self._short()
            if now and not short:
                return
            short = now


def _place(removal: Removal) -> tuple[KeptKind, str]:
    return removal.kept.found.kind, removal.kept.found.name


def _tell(removal: Removal) -> None:
    found = removal.kept.found
    why = {
        RemovalReason.AGE: f"kept for {removal.kept.age / 86_400:.3g} days",
        RemovalReason.ROOM: "all work together takes more than keep.work_gigabytes",
    }[removal.why]
    about = {"action": f"removed-{found.kind}"}
    if found.kind is KeptKind.WORK:
        about["job"] = found.name[:8]
    name = "its work" if found.kind is KeptKind.WORK else shown(found.name)
    log.info("removed %s (%s): %s", name, amount(found.size), why, extra=about)
