"""Tickets that no picture uses: one that came too late for its picture, and one whose picture does not come."""

from __future__ import annotations

import logging

from ..errors import Reason
from ..host import shown
from .entry import Entry, EntryKind, classify, key_of
from .gather import Drop, Gathering
from .stability import Stability

log = logging.getLogger("zoetrope.inbox")

# A ticket that comes within this time was meant for the picture that was taken without it: the next one of that
# name would get a prompt and a seed that were not meant for it. Later, it may be written for the next one.
LATE_SECONDS = 60.0
# Whoever writes the ticket first needs some time for the picture.
ALONE_SECONDS = 60.0


class LoneTickets:
    """Remembers which pictures were taken without a ticket, and which tickets were named as alone."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], float] = {}
        self.alone: tuple[str, ...] = ()

    def note(self, drop: Drop, now: float) -> None:
        """Take note of what was taken; half a pair without a ticket may still get one with the other half."""
        self._taken = {k: at for k, at in self._taken.items() if now < at + LATE_SECONDS}
        first = drop.pictures[0]
        whole = not first.half or len(drop.pictures) > 1
        if drop.late:
            # The reason is its owner's to read; what it is moved back for is theirs to say.
            self._taken.pop(key_of(first), None)
        elif whole and not drop.tickets and first.kind is EntryKind.PICTURE:
            self._taken[key_of(first)] = now

    def decide(self, ticket: Entry, gathering: Gathering, now: float) -> Drop | None:
        """Return a complete ticket as a drop of its own if its picture was taken without it just now."""
        at = self._taken.get(key_of(ticket))
        if at is None or now >= at + LATE_SECONDS or gathering.pictures_next_to(ticket):
            return None
        return Drop(pictures=(ticket,), late=True)

    def look(self, stability: Stability, gathering: Gathering, now: float) -> None:
        """Name tickets that have been without a picture for long, each once."""
        found: list[str] = []
        for path in stability.paths():
            entry, known = classify(path), stability.get(path)
            if entry.kind is not EntryKind.TICKET or known is None or not known.ready:
                continue
            # One that stays where it was taken has its picture next to it.
            if now >= known.arrived + ALONE_SECONDS and not gathering.pictures_next_to(entry):
                found.append(path)
        for path in found:
            if path not in self.alone:
                log.warning("%s", waits(path), extra={"action": "ticket-alone"})
        self.alone = tuple(found)


def waits(path: str) -> str:
    """Say that a ticket is used by nothing."""
    name = shown(path)
    stem = name.rpartition("/")[2].rpartition(".")[0]
    return f"the ticket {name} is used by no picture; it waits for one called {stem}.png, say, in the same folder"


def late(ticket: str) -> Reason:
    """Say why a ticket is not used, and how it can be."""
    return Reason(
        "ticket-late",
        f"The picture of its name had been taken, without it, before {shown(ticket)} was complete.",
        "Put the picture into the inbox again, together with this ticket. Moved back alone, it counts for the"
        " next picture of its name.",
    )
