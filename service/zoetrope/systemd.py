"""What systemd is told: READY, STATUS in one sentence, and WATCHDOG only while things really move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from .domain.job import State
from .errors import Reason, ZoetropeError
from .gpu.card import Reading
from .health.inbox import stale_after
from .jobs.progress import Live
from .jobs.question import Question
from .notifier import Notifier
from .web.parts import LaneStatus, Parts

EVERY = 5.0  # seconds between two looks when no watchdog asks for more
WHILE_WORKING = 1.0  # the same while there is progress to tell
SCAN_PATIENCE = 600.0  # seconds that one look through the inbox may take
LEDGER_PATIENCE = 30.0  # seconds that the ledger may take to answer
SHOWN = 4  # jobs that the sentence names; a host has an engine or two


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part has gone without a sign of life, in seconds; None where none is expected."""

    loop: float
    watcher: float | None = None
    ledger: float | None = None


def stalled(pulse: Pulse, *, loop: float, watcher: float, ledger: float) -> str:
    """Name the part that has been silent for longer than it may, or nothing."""
    if pulse.loop > loop:
        return "event loop"
    if pulse.watcher is not None and pulse.watcher > watcher:
        return "watcher"
    if pulse.ledger is not None and pulse.ledger > ledger:
        return "ledger"
    return ""


def rendering(name: str, live: Live) -> str:
    """Say how far one job is: "cat.png: i2v 42 % (step 8/20)"."""
    step = f" (step {live.value:.0f}/{live.maximum:.0f})" if live.maximum > 1 else ""
    return f"{name}: {live.stage} {live.fraction:.0%}{step}".replace("%", " %")


def glance(readings: Iterable[Reading]) -> str:
    """Say how the cards are in two figures each: "GPU 61 °C 2100 MHz"."""
    told = [
        f"{reading.celsius} °C {reading.core_mhz} MHz"
        for reading in readings
        if reading.celsius is not None and reading.core_mhz is not None
    ]
    return f"GPU {', '.join(told)}" if told else ""


def summary(
    counts: Mapping[State, int],
    lanes: Sequence[LaneStatus],
    problem: Reason | None = None,
    now: Sequence[str] = (),
    cards: str = "",
    kept: Mapping[str, Reason] | None = None,
) -> str:
    """Say how things stand: "rendering cat.png: i2v 42 % (step 8/20), 14 waiting; engine gpu-0 is up"."""
    if problem is not None:
        return str(problem)
    words = [f"rendering {', '.join(now)}"] if now else []
    words += [
        f"{number} {word}"
        for state, word in (
            (State.RUNNING, "" if now else "running"),
            (State.QUEUED, "waiting"),
            (State.REVIEW, "to review"),
        )
        if word and (number := counts.get(state, 0))
    ]
    engines = [f"engine {lane.name} is {'up' if lane.up else 'down'}" for lane in lanes]
    told = [", ".join(words) or "idle", ", ".join(engines), _keeping(kept or {}), cards]
    return "; ".join(text for text in told if text)


def _keeping(kept: Mapping[str, Reason]) -> str:
    """Say what keeps jobs that is not their fault; the first reason stands for all."""
    if not kept:
        return ""
    jobs = "1 job waits" if len(kept) == 1 else f"{len(kept)} jobs wait"
    return f"{jobs}: {next(iter(kept.values())).sentence.rstrip('.')}"


async def sentence(parts: Parts) -> str:
    """Say how the whole service stands."""
    ledger, conductor = parts.ledger, parts.conductor
    if ledger is None:
        return str(parts.problem) if parts.problem else "starting"
    status = conductor.status() if conductor else None
    counts = await ledger.counts()
    now = []
    if conductor is not None and counts.get(State.RUNNING):
        for row in await ledger.page(Question(states=(State.RUNNING,), limit=SHOWN)):
            if (live := conductor.live(row.job.id)) is not None:
                still = row.job.stills[0].name if row.job.stills else row.job.stem
                now.append(rendering(still, live))
    # Only at work: an idle host's line stands still, and so does its journal.
    tuner = parts.tuner if now else None
    return summary(
        counts,
        status.lanes if status else (),
        status.paused if status else None,
        now,
        glance(tuner.watch.latest.values()) if tuner is not None else "",
        status.waiting if status else None,
    )


class Reporter:
    """Keeps systemd informed until it is cancelled."""

    def __init__(
        self,
        notifier: Notifier,
        parts: Parts,
        *,
        every: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._parts = parts
        # Three signs in each of the watchdog's spans, so that a late one does no harm.
        self._every = every or min(EVERY, (notifier.watchdog or 3 * EVERY) / 3)
        self._clock = clock
        self._said = ""
        self._answered = clock()  # when the ledger last answered, well or badly
        self._due = clock() + self._every

    async def run(self) -> None:
        """Report again and again; made to be a task."""
        while True:
            await self.once()
            pause = min(WHILE_WORKING, self._every) if self._working() else self._every
            self._due = self._clock() + pause
            await asyncio.sleep(pause)

    async def once(self) -> str:
        """Report once; names the part that kept the sign of life back, if one did."""
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
        """Ask the ledger for the sentence: a question that proves that it answers."""
        try:
            async with asyncio.timeout(self._every):
                said = await sentence(self._parts)
        except TimeoutError:
            return ""
        except ZoetropeError as error:
            # An error is an answer too: a full disk is said, and a restart would not empty it.
            said = str(error)
        self._answered = self._clock()
        return said

    def _working(self) -> bool:
        conductor = self._parts.conductor
        return conductor is not None and any(lane.in_hand for lane in conductor.status().lanes)

    def _watcher_patience(self) -> float:
        watcher = self._parts.watcher
        # A look through a large slow share is work; restarting would only begin it again.
        if watcher is not None and watcher.status.scanning_seconds > 0:
            return SCAN_PATIENCE
        return stale_after(self._parts.settings.inbox.rescan_seconds)

    def _pulse(self, lag: float) -> Pulse:
        watcher = self._parts.watcher
        ledger = self._parts.ledger
        return Pulse(
            loop=lag,
            watcher=self._clock() - watcher.progress if watcher else None,
            ledger=(self._clock() - max(self._answered, ledger.last_progress) if ledger else None),
        )
