"""Reports to systemd: READY, STATUS in one sentence, and WATCHDOG only while the service makes progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from .errors import ZoetropeError
from .health.checks.inbox import stale_after
from .notifier import Notifier
from .runtime import Runtime
from .summary import sentence

EVERY = 5.0  # seconds between two reports where no watchdog needs more
WHILE_WORKING = 1.0  # the same while there is progress to report
SCAN_PATIENCE = 600.0  # seconds that one scan of the inbox may take
LEDGER_PATIENCE = 30.0  # seconds that the ledger may take to answer


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """For how many seconds each part has made no progress; None where none is expected."""

    loop: float
    watcher: float | None = None
    ledger: float | None = None


def stalled(pulse: Pulse, *, loop: float, watcher: float, ledger: float) -> str:
    """Name the part that has made no progress for longer than it may, or nothing."""
    if pulse.loop > loop:
        return "event loop"
    if pulse.watcher is not None and pulse.watcher > watcher:
        return "watcher"
    if pulse.ledger is not None and pulse.ledger > ledger:
        return "ledger"
    return ""


class Reporter:
    """Keeps systemd informed until it is cancelled."""

    def __init__(
        self,
        notifier: Notifier,
        runtime: Runtime,
        *,
        every: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._runtime = runtime
        # Three pings in each of the watchdog's intervals, so that a late one does no harm.
        self._every = every or min(EVERY, (notifier.watchdog or 3 * EVERY) / 3)
        self._clock = clock
        self._said = ""
        self._answered = clock()  # when the ledger last answered, well or badly
        self._due = clock() + self._every

    async def run(self) -> None:
        """Report at intervals, as a task, until cancelled."""
        while True:
            await self.once()
            pause = min(WHILE_WORKING, self._every) if self._working() else self._every
            self._due = self._clock() + pause
            await asyncio.sleep(pause)

    async def once(self) -> str:
        """Report once; returns the part without progress, for which no ping was sent, if there is one."""
        lag = max(0.0, self._clock() - self._due)
        said = await self._ask()
        silent = stalled(
            self._pulse(lag),
            loop=self._notifier.watchdog or 10 * EVERY,
            watcher=self._watcher_patience(),
            ledger=LEDGER_PATIENCE,
        )
        if silent:
            said = f"the {silent} makes no progress"
        else:
            self._notifier.alive()
        if said and said != self._said:
            self._said = said
            self._notifier.status(said)
        return silent

    async def _ask(self) -> str:
        """Make the status sentence from the ledger; that also proves that it answers."""
        try:
            async with asyncio.timeout(self._every):
                said = await sentence(self._runtime)
        except TimeoutError:
            return ""
        except ZoetropeError as error:
            # An error is an answer too: a full disk is reported, and a restart would not free space.
            said = str(error)
        self._answered = self._clock()
        return said

    def _working(self) -> bool:
        conductor = self._runtime.conductor
        return conductor is not None and any(
            worker.in_hand for worker in conductor.status().workers
        )

    def _watcher_patience(self) -> float:
        watcher = self._runtime.watcher
        # A scan of a large slow share is progress; a restart would only begin it again.
        if watcher is not None and watcher.status.scanning_seconds > 0:
            return SCAN_PATIENCE
        return stale_after(self._runtime.settings.inbox.rescan_seconds)

    def _pulse(self, lag: float) -> Pulse:
        watcher = self._runtime.watcher
        ledger = self._runtime.ledger
        return Pulse(
            loop=lag,
            watcher=self._clock() - watcher.progress if watcher else None,
            ledger=(self._clock() - max(self._answered, ledger.last_progress) if ledger else None),
        )
