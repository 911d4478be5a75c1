"""What belongs together: a picture with its ticket, two halves of a pair, and how long to wait for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import msgspec

from .entry import DEFAULTS, Entry, EntryKind, joined, key_of, ticket_names

# Whoever is waited for tells when it is complete; this is for when that message is lost.
LONGEST_WAIT = 10.0
# For a folder's ticket, which is everybody's: somebody who changes it all the time keeps nobody waiting for ever.
DEFAULTS_WAIT = 60.0


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are complete and make one job; of a pair, the start comes first."""

    pictures: tuple[Entry, ...]
    tickets: tuple[Entry, ...] = ()
    shared: bool = False  # another picture of the same stem needs the tickets, too
    late: bool = False  # a ticket alone, in a picture's place, whose picture was taken without it

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file of the drop, relative to the inbox."""
        return tuple(entry.path for entry in (*self.pictures, *self.tickets))


class Wait(msgspec.Struct, frozen=True):
    """Something that belongs to the picture may still come, or is not complete; look again then."""

    until: float


class Gathering:
    """Knows which files stand side by side; whether one is complete is asked from outside."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._beside: defaultdict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
        # Since when a picture waits for its folder's ticket alone.
        self._since: dict[str, float] = {}

    def add(self, entry: Entry) -> None:
        """Take a file into account."""
        self._beside[key_of(entry)][entry.path] = entry

    def remove(self, entry: Entry) -> None:
        """Forget a file that was taken or is gone."""
        self._since.pop(entry.path, None)
        key = key_of(entry)
        if key in self._beside:
            self._beside[key].pop(entry.path, None)
            if not self._beside[key]:
                del self._beside[key]

    def pictures_next_to(self, entry: Entry) -> list[Entry]:
        """List the pictures of a file's stem: those that may have waited for it."""
        return [other for other in self._siblings(entry) if other.kind is EntryKind.PICTURE]

    def tickets_next_to(self, entry: Entry) -> list[Entry]:
        """List the tickets of a file's stem."""
        return [other for other in self._siblings(entry) if other.kind is EntryKind.TICKET]

    def decide(
        self, entry: Entry, arrived: float, now: float, is_ready: Callable[[str], bool | None]
    ) -> Drop | Wait:
        """Say what to take with a complete picture, or how long to wait; `is_ready` answers None for unknown files."""
        siblings = self._siblings(entry)
        others = [s for s in siblings if s.kind is entry.kind and s.path != entry.path]
        counterparts = [s for s in others if entry.half and s.half and s.half != entry.half]
        # A pair has the tickets of both halves, whichever is looked at first; the start's says more.
        halves = sorted({entry.half, *(s.half for s in counterparts[:1])}, reverse=True)
        names = list(dict.fromkeys(n for half in halves for n in ticket_names(entry.stem, half)))
        wanted_halves = {"", *halves}
        tickets = [s for s in siblings if s.kind is EntryKind.TICKET and s.half in wanted_halves]
        defaults = joined(entry.folder, DEFAULTS)
        wanted = [*(s.path for s in tickets), *(s.path for s in counterparts[:1])]
        if any(is_ready(path) is False for path in wanted):
            return Wait(now + LONGEST_WAIT)
        if is_ready(defaults) is False:
            since = self._since.setdefault(entry.path, now)
            if now < since + DEFAULTS_WAIT:
                return Wait(now + LONGEST_WAIT)
        complete = bool(counterparts) if entry.half else bool(tickets)
        if not complete and now < arrived + self._grace and entry.kind is EntryKind.PICTURE:
            return Wait(arrived + self._grace)
        pictures = sorted([entry, *counterparts[:1]], key=lambda e: e.half == "end")
        tickets.sort(key=lambda e: names.index(e.name) if e.name in names else len(names))
        return Drop(
            pictures=tuple(pictures),
            tickets=tuple(tickets),
            shared=len(others) + 1 > len(pictures),
        )

    def _siblings(self, entry: Entry) -> list[Entry]:
        return list(self._beside.get(key_of(entry), {}).values())
