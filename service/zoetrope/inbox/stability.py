"""When a file counts as complete: it was quiet for the settle time, and its size and time stood still."""

from __future__ import annotations

import heapq
import os

import msgspec

# An empty file is usually a promise (a scanner, a share that makes the name first); it gets longer.
EMPTY_SECONDS = 30.0


class FileStat(msgspec.Struct, frozen=True):
    """What one `stat` of a file said."""

    size: int
    mtime_ns: int
    ctime_ns: int
    links: int = 1

    @classmethod
    def of(cls, stat: os.stat_result) -> FileStat:
        """Take what matters from a `stat` result."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_nlink)

    @property
    def signature(self) -> tuple[int, int]:
        """The part that changes when somebody writes."""
        return self.size, self.mtime_ns


class Watched(msgspec.Struct):
    """What is remembered of one file that is not ready, or ready and not yet taken."""

    look: FileStat
    arrived: float  # when it was seen first, or earlier if its times say so
    quiet_since: float
    order: tuple[float, int, str]  # files are taken in this order
    polled: bool = False
    touched: bool = False  # an event said that it was modified
    ready: bool = False


class Stability:
    """Decides when files are complete; every clock reading and every look is handed in."""

    def __init__(self, settle: float, empty: float = EMPTY_SECONDS) -> None:
        self._settle = settle
        self._empty = max(empty, settle)
        self._files: dict[str, Watched] = {}
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def get(self, path: str) -> Watched | None:
        """Give what is remembered of a file."""
        return self._files.get(path)

    def paths(self) -> list[str]:
        """List every file that is remembered."""
        return list(self._files)

    def event(
        self,
        path: str,
        look: FileStat,
        now: float,
        *,
        added: bool = False,
        modified: bool = False,
        polled: bool = False,
    ) -> bool:
        """Take in an event; true if the file is ready at once."""
        known = self._files.get(path)
        if known is None:
            known = self._remember(path, look, now, now, polled)
        elif modified or known.look.signature != look.signature:
            self._note_change(known, path, look, now)
        known.touched = known.touched or modified
        # A rename changes ctime alone, a plain create-and-write leaves both times equal; a second
        # link is still being made or unmade, and on a share somebody else's clock wrote these times.
        if (
            added
            and not known.touched
            and not polled
            and look.size > 0
            and look.links == 1
            and look.ctime_ns > look.mtime_ns
        ):
            known.ready = True
        return known.ready

    def scan(
        self, path: str, look: FileStat, now: float, wall: float, *, polled: bool = False
    ) -> bool:
        """Take in what a scan saw; true if the file is ready."""
        known = self._files.get(path)
        if known is not None:
            if known.look.signature != look.signature:
                self._note_change(known, path, look, now)
            return known.ready
        age = wall - max(look.mtime_ns, look.ctime_ns) / 1e9
        # Nobody can say when a share's clock was read, so its files always get two looks.
        aged = not polled and age >= self._wait(look)
        known = self._remember(path, look, now, now - age if aged else now, polled)
        known.ready = aged
        return aged

    def due(self, now: float) -> list[str]:
        """List the files whose quiet time is over; each needs a fresh look by `confirm`."""
        found: dict[str, None] = {}
        while self._due and self._due[0][0] <= now:
            _, path = heapq.heappop(self._due)
            known = self._files.get(path)
            # An entry that later events made stale has a successor in the heap.
            if (
                known is not None
                and not known.ready
                and known.quiet_since + self._wait(known.look) <= now
            ):
                found[path] = None
        return list(found)

    def confirm(self, path: str, look: FileStat, now: float) -> bool:
        """Take in the fresh look at a file that was due; true if it is ready now."""
        known = self._files.get(path)
        if known is None:
            return False
        if known.look.signature != look.signature:
            self._note_change(known, path, look, now)
        elif not known.ready:
            known.ready = known.quiet_since + self._wait(look) <= now
            if not known.ready:
                self._plan(known, path)
        return known.ready

    def next_due(self) -> float | None:
        """Say when the next file may be due."""
        return self._due[0][0] if self._due else None

    def delay(self, path: str, until: float) -> None:
        """Begin a file's quiet time anew, so that it is not ready before a time."""
        if (known := self._files.get(path)) is not None:
            known.ready = False
            known.quiet_since = until - self._wait(known.look)
            self._plan(known, path)

    def forget(self, path: str) -> None:
        """Drop a file that was taken or is gone."""
        self._files.pop(path, None)
        if not self._files:
            self._due.clear()

    def _wait(self, look: FileStat) -> float:
        return self._settle if look.size else self._empty

    def _remember(
        self, path: str, look: FileStat, now: float, arrived: float, polled: bool
    ) -> Watched:
        known = Watched(look, arrived, now, (arrived, look.mtime_ns, path), polled)
        self._files[path] = known
        self._plan(known, path)
        return known

    def _note_change(self, known: Watched, path: str, look: FileStat, now: float) -> None:
        known.look = look
        known.quiet_since = now
        known.ready = False
        self._plan(known, path)

    def _plan(self, known: Watched, path: str) -> None:
        heapq.heappush(self._due, (known.quiet_since + self._wait(known.look), path))
