"""The watcher: finds complete pictures. Events are a hint, the slow rescan is the truth."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial

from watchfiles import Change

from ..errors import Reason
from ..host import shown
from ..logs import log_failure
from ..mounts import read_table
from ..settings import InboxSettings
from . import scan as disk
from .disk_thread import DiskThread
from .entry import Entry, EntryKind, classify
from .events import Events
from .gather import Drop, Gathering, Wait
from .lone_tickets import LoneTickets
from .presence import InboxMissing, Presence, absent, crowded
from .stability import FileStat, Stability
from .status import WatchStatus

log = logging.getLogger("zoetrope.inbox")

ROOT_SECONDS = 5.0  # between looks whether the inbox itself is still there
_POLL_SECONDS = (1.0, 5.0)  # between polls; follows the settle time
_LISTEN_SECONDS = 1.0  # between two beginnings to listen, however fast folders are made
_SCAN_SHARE = 100  # a poll may take one part in so many of the time
_LISTEN_SHARE = 10  # and as many times as long as a scan takes
_BATCH_SECONDS = 0.05
_FAILED = Reason("inbox-error", "Reading the inbox failed; it is retried.", "Please report this.")


class Watcher:
    """Watches one inbox and hands out drops, in the order of their arrival."""

    def __init__(
        self,
        settings: InboxSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        mounts: Callable[[], str] = read_table,
        on_seen: Callable[[], None] = lambda: None,
        identify: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._root = str(settings.path)
        self._on_seen = on_seen  # called when a picture is seen, before it has settled
        # Called when the inbox is there after it was not, or is another folder than before; then nothing is
        # handed out until `hand_out`.
        self.on_appearance: Callable[[], None] | None = None
        self._sorted = self._open = True
        self._clock = clock
        self._wall = wall
        self._stability = Stability(settings.settle_seconds)
        self._gathering = Gathering(settings.ticket_grace_seconds)
        self._lone = LoneTickets()
        self._in_hand: set[str] = set()
        self._standing: dict[str, tuple[int, int]] = {}  # files that stay though they were taken
        self._ready: list[tuple[tuple[float, int, str], str]] = []
        self._later: list[tuple[float, str]] = []
        self._wake = asyncio.Event()
        self._fresh = asyncio.Event()
        self._events = Events(self._root, self._wake.set, clock=clock)
        self._presence = Presence(self._root, mounts, identify)
        self._folders: dict[str, tuple[int, int]] = {}  # the real ones, each with its identity
        self._listen_due = 0.0
        self._polled: frozenset[str] = frozenset()
        self._root_due = self._scan_due = self._poll_due = 0.0
        self._scan_seconds = 0.0
        self._scan_began: float | None = None
        self._last_scan: float | None = None
        self._problem: Reason | None = None
        self._unreadable: set[str] = set()
        self._thread = DiskThread(self._root, clock, self._progressed)
        self._disk = self._thread.run
        self.progress = clock()  # when the watcher last finished a round; the watchdog looks at it

    @property
    def status(self) -> WatchStatus:
        """What the watcher does now."""
        began = self._scan_began
        mode = "inotify" if self._events.listening else "poll"
        if self._presence.identity is None:
            mode = "none"
        return WatchStatus(
            mode=mode,
            file_system=self._presence.mount.type,
            polled=tuple(sorted(self._polled)),
            last_scan=self._last_scan,
            scanning_seconds=self._clock() - began if began is not None else 0.0,
            files=len(self._stability),
            problem=self._thread.problem or self._problem or self._events.problem,
            unreadable=tuple(sorted(shown(path) for path in self._unreadable)),
            alone=tuple(shown(path) for path in self._lone.alone),
        )

    async def run(self) -> None:
        """Watch until cancelled; whatever happens to the inbox, go on when it is back."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._round()
                except Exception as error:  # a mistake of ours must not stop the whole service
                    said = log_failure(log, error, "reading the inbox failed", {"action": "error"})
                    self._problem = said or _FAILED
                    self._scan_due = self._root_due = self._clock() + ROOT_SECONDS
                    await asyncio.sleep(min(ROOT_SECONDS, self._settings.rescan_seconds))
                self.progress = self._clock()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                    # Events come in bursts; a moment later there are more to handle at once.
                    await asyncio.sleep(_BATCH_SECONDS)
        finally:
            await self._events.stop()

    async def next(self) -> Drop:
        """Wait for the next complete drop; it is in the caller's hands until `done` or `again`."""
        while True:
            while self._ready and self._open:
                path = heapq.heappop(self._ready)[1]
                if isinstance(found := self._decide(path), Drop):
                    self._in_hand.update(found.paths)
                    return found
            self._fresh.clear()
            await self._fresh.wait()

    def done(self, drop: Drop) -> None:
        """The drop was taken, or needs no further look until it changes."""
        stays = self._settings.claim == "copy"
        self._lone.note(drop, self._clock())
        for entry in (*drop.pictures, *drop.tickets):
            self._in_hand.discard(entry.path)
            if entry.kind is EntryKind.TICKET and (stays or drop.shared):
                self._complete(entry)
                continue
            known = self._stability.get(entry.path)
            if stays and known is not None:
                self._standing[entry.path] = known.look.signature
            self._forget(entry)
        for ticket in self._gathering.tickets_next_to(drop.pictures[0]):
            if self._is_ready(ticket.path):
                self._complete(ticket)

    def again(self, drop: Drop, seconds: float) -> None:
        """The drop could not be taken now; offer it again, not before some time has passed."""
        for entry in (*drop.pictures, *drop.tickets):
            self._in_hand.discard(entry.path)
            if entry.kind is not EntryKind.TICKET:
                self._stability.delay(entry.path, self._clock() + seconds)
        self._wake.set()

    def hand_out(self) -> None:
        """What was claimed in the inbox that appeared is sorted out; a ticket that was put back is seen first."""
        self._sorted, self._scan_due = True, 0.0
        self._wake.set()

    def lose(self, drop: Drop) -> None:
        """A picture of the drop is not there; whatever is there later is new."""
        self._in_hand.difference_update(drop.paths)
        for picture in drop.pictures:
            self._forget(picture)
        for ticket in drop.tickets:
            self._complete(ticket)

    async def _round(self) -> None:
        now = self._clock()
        if self._events.root_changed:
            self._events.root_changed = False
            self._root_due = 0.0
        if now >= self._root_due and not await self._look_at_root():
            return
        if self._presence.identity is None:
            return
        if self._misses_folders and now >= self._listen_due:
            await self._events.stop()
        if self._must_listen and now >= self._events.retry_at:
            # The watch must stand before the scan, or what arrives between is seen by neither.
            self._listen_due = now + max(_LISTEN_SECONDS, _LISTEN_SHARE * self._scan_seconds)
            await self._events.start(self._folders)
            self._scan_due = 0.0
        await self._take_hints()
        now = self._clock()
        if now >= self._scan_due:
            await self._scan(("",))
        elif now >= self._poll_due and (polled := self._to_poll()):
            await self._scan(polled)
        await self._confirm(self._stability.due(self._clock()))
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._offer(heapq.heappop(self._later)[1])

    def _pause(self) -> float:
        """Say how long nothing needs to be done."""
        times = [self._root_due]
        if self._presence.identity is not None:
            times.append(self._scan_due)
            if self._to_poll():
                times.append(self._poll_due)
            if self._must_listen:
                times.append(self._events.retry_at)
            elif self._misses_folders:
                times.append(self._listen_due)
            if (due := self._stability.next_due()) is not None:
                times.append(due)
            if self._later:
                times.append(self._later[0][0])
        return max(0.01, min(times) - self._clock())

    @property
    def _wants_events(self) -> bool:
        if self._settings.watch == "auto":
            return not self._presence.mount.silent
        return self._settings.watch == "inotify"

    @property
    def _must_listen(self) -> bool:
        return self._wants_events and not self._events.listening

    @property
    def _misses_folders(self) -> bool:
        """Whether there are folders that are not listened to yet."""
        return self._events.listening and not self._events.covers(self._folders)

    def _to_poll(self) -> tuple[str, ...]:
        """The folders that need polling: all of the inbox, some, or none."""
        return tuple(self._polled) if self._events.listening else ("",)

    def _is_polled(self, path: str) -> bool:
        if not self._wants_events:
            return True
        return bool(self._polled) and path.partition("/")[0] in self._polled

    async def _look_at_root(self) -> bool:
        """Check that the inbox is there and is the one that is watched; false while it is not."""
        self._root_due = self._clock() + min(ROOT_SECONDS, self._settings.rescan_seconds)
        try:
            changed = await self._disk(self._presence.check)
        except InboxMissing as error:
            await self._lose(error.reason)
            return False
        if changed:
            await self._events.stop()
            self._scan_due = 0.0
            if self.on_appearance is not None:
                self._sorted = self._open = False
                self.on_appearance()
        if self._problem is not None and changed:
            log.info("the inbox is back", extra={"action": "inbox-back"})
            self._problem = None
        return True

    async def _lose(self, reason: Reason) -> None:
        """The inbox cannot be watched: forget what was seen there, and say so once."""
        await self._events.stop()
        self._presence.identity = None
        for path in self._stability.paths():
            if path not in self._in_hand:
                self._forget(classify(path))
        self._unreadable.clear()
        if self._problem is None or self._problem.key != reason.key:
            log.error("%s", reason, extra={"action": reason.key})
        self._problem = reason

    async def _take_hints(self) -> None:
        hints = self._events.take()
        if not hints:
            return
        looks = await self._disk(partial(disk.look, self._root, hints))
        ready: list[str] = []
        folders: list[str] = []
        for path, changes in hints.items():
            found = looks.get(path)
            entry = classify(path)
            if path not in looks:
                self._forget(entry)
            elif found is None:
                # What was in a folder when it was moved here comes without events.
                if Change.added in changes:
                    self._events.made_anew(path)
                    folders.append(path)
            elif self._concerns(path, found):
                if entry.kind is EntryKind.PICTURE:
                    self._on_seen()
                self._gathering.add(entry)
                if self._stability.event(
                    path,
                    found,
                    self._clock(),
                    added=Change.added in changes,
                    modified=Change.modified in changes,
                    polled=self._is_polled(path),
                ):
                    ready.append(path)
        await self._confirm(ready)
        if folders:
            await self._scan(folders)

    async def _scan(self, folders: Iterable[str]) -> None:
        folders = tuple(folders)
        whole = folders == ("",)
        began = self._scan_began = self._clock()
        in_order = self._sorted  # what is put back meanwhile, this scan may have missed
        try:
            found = await self._disk(partial(disk.scan, self._root, folders))
        except OSError as error:
            self._root_due = 0.0
            if whole:
                self._scan_due = self._clock() + self._settings.rescan_seconds
                await self._lose(absent(self._root, error).reason)
            return
        finally:
            self._scan_began = None
        now = self._clock()
        self._scan_seconds = now - began
        least, most = _POLL_SECONDS
        pause = min(most, max(least, self._settings.settle_seconds))
        self._poll_due = now + max(pause, _SCAN_SHARE * self._scan_seconds)
        self._folders = {**({} if whole and found.whole else self._folders), **found.folders}
        if whole:
            if self._sorted == in_order:
                self._scan_due = now + self._settings.rescan_seconds
            self._last_scan = self._wall()
            self._problem = None if found.whole else crowded(disk.MAX_FILES, disk.MAX_FOLDERS)
            if self._settings.watch == "auto":
                silent = partial(self._presence.silent_folders, found.devices)
                self._polled = await self._disk(silent)
        wall = self._wall()
        ready: list[str] = []
        for path, look in sorted(found.files.items(), key=lambda item: item[1].mtime_ns):
            entry = classify(path)
            if entry.kind is EntryKind.IGNORED or not self._concerns(path, look):
                continue
            self._gathering.add(entry)
            fresh = path not in self._stability
            if self._stability.scan(path, look, now, wall, polled=self._is_polled(path)) and fresh:
                ready.append(path)
        if found.whole:
            self._reconcile(found, folders, now, whole=whole)
        if whole and in_order and self._sorted and not self._open:
            self._open = True
            self._fresh.set()
        await self._confirm(ready)

    def _reconcile(
        self, found: disk.Scan, folders: tuple[str, ...], now: float, *, whole: bool
    ) -> None:
        """Forget what a scan did not see any more."""
        prefixes = tuple(f"{folder}/" for folder in folders)
        for path in self._stability.paths():
            if (whole or path.startswith(prefixes)) and path not in found.files:
                self._forget(classify(path))
        if whole:
            self._standing = {p: s for p, s in self._standing.items() if p in found.files}
            self._lone.look(self._stability, self._gathering, now)
            files = {path for path in self._unreadable if path in self._stability}
            for folder in set(found.unreadable) - self._unreadable:
                disk.tell_unreadable(folder)
            self._unreadable = files | set(found.unreadable)

    def _concerns(self, path: str, look: FileStat) -> bool:
        """Whether a file is not in somebody's hands and not one that was dealt with as it is."""
        return path not in self._in_hand and self._standing.get(path) != look.signature

    async def _confirm(self, paths: Iterable[str]) -> None:
        """Look freshly at files that seem complete, and offer those that are."""
        paths = [path for path in paths if path not in self._in_hand]
        if not paths:
            return
        looks = await self._disk(partial(self._presence.probe, paths))
        if looks is None:
            # Seen in another inbox than the known one; what was claimed there comes first.
            for path in paths:
                self._forget(classify(path))
            self._root_due = self._scan_due = 0.0
            return
        now = self._clock()
        for path in paths:
            if path not in looks:
                self._forget(classify(path))
            elif (found := looks[path]) is None:
                if path not in self._unreadable:
                    self._unreadable.add(path)
                    disk.tell_unreadable(path)
                self._stability.delay(path, now + self._settings.rescan_seconds)
            else:
                self._unreadable.discard(path)
                if self._stability.confirm(path, found, now):
                    self._complete(classify(path))

    def _complete(self, entry: Entry) -> None:
        if entry.kind in (EntryKind.PICTURE, EntryKind.DEEP):
            self._offer(entry.path)
            return
        beside = [other.path for other in self._gathering.pictures_next_to(entry)]
        if not beside and entry.kind is EntryKind.TICKET:
            self._offer(entry.path)
            return
        if entry.kind is EntryKind.DEFAULTS:
            prefix = f"{entry.folder}/" if entry.folder else ""
            beside = [path for path in self._stability.paths() if path.startswith(prefix)]
        for path in beside:
            # Tickets wait for pictures, never the other way round.
            if classify(path).kind in (EntryKind.PICTURE, EntryKind.DEEP):
                self._offer(path)

    def _offer(self, path: str) -> None:
        """Put a complete picture in the queue, or wait for what belongs to it."""
        found = self._decide(path)
        known = self._stability.get(path)
        if isinstance(found, Drop) and known is not None:
            heapq.heappush(self._ready, (known.order, path))
            self._fresh.set()

    def _decide(self, path: str) -> Drop | Wait | None:
        known = self._stability.get(path)
        if known is None or not known.ready or path in self._in_hand:
            return None
        entry = classify(path)
        if entry.kind is EntryKind.TICKET:
            return self._lone.decide(entry, self._gathering, self._clock())
        found = self._gathering.decide(entry, known.arrived, self._clock(), self._is_ready)
        if isinstance(found, Wait):
            heapq.heappush(self._later, (found.until, path))
            self._wake.set()
        return found

    def _progressed(self) -> None:
        self.progress = self._clock()

    def _is_ready(self, path: str) -> bool | None:
        if path in self._in_hand:
            return False
        known = self._stability.get(path)
        return None if known is None else known.ready

    def _forget(self, entry: Entry) -> None:
        self._stability.forget(entry.path)
        self._gathering.remove(entry)
        self._unreadable.discard(entry.path)
