"""The watch over one engine: whether it answers, whether its process is of use, and its restarts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import msgspec

from ..domain.job import Attempt
from ..domain.values import Failure
from ..engine.protocol import Absent, Engine, QueueEntry, Stats
from ..errors import EngineDown, EngineGone, EngineRefused, Reason, WrongAnswer
from . import engine_disk, stall
from .engine_disk import EngineDisk, folder_of, free_bytes, may_try
from .outages import Outages

log = logging.getLogger("zoetrope.jobs")

PROBE_SECONDS = 15.0
HEAL_SECONDS = 15.0  # between tries to restart an engine whose restart failed
FIRST_RETRY = 0.25
LONGEST_RETRY = 5.0
UNKNOWN = "engine-unknown"


class _BrokenProcess(msgspec.Struct, frozen=True):
    """A process that cannot work any more: why, and what tells another process from it."""

    reason: Reason
    reconnects: int
    prompt_id: str


class EngineWatch:
    """Knows how an engine is, and says so to whoever listens."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float],
        *,
        stuck_seconds: float,
        followed: Callable[[], Collection[str]],
        outages: Outages,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.stats: Stats | None = None
        self.queue: tuple[QueueEntry, ...] = ()  # as it was last seen
        self.stuck: Reason | None = None  # it answers, and its worker has ended or hangs
        self.disk: EngineDisk | None = None  # it answers, and its disk takes nothing
        self._trying = False  # up for one job that finds out whether its disk takes something again
        self._stuck_seconds = stuck_seconds
        self._followed = followed
        self._monotonic = monotonic
        self._stall: stall.Stall | None = None
        self.reason: Reason | None = unknown(engine.name)
        self._outages = outages
        self._address = f"{engine.name} {engine.url}"
        self.since = outages.began(self._address, clock())
        self._clock = clock
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._restarting = asyncio.Lock()
        self._broken = False  # a restart was needed and could not be had
        # Nobody may restart it, and its process is of no use.
        self._broken_process: _BrokenProcess | None = None
        self._away = False  # it did not answer, or not well, since then
        self._proven = False  # its process is known to have made something, or to be a new one
        self._on_change: list[Callable[[], None]] = []
        self._on_restart: list[Callable[[], None]] = []
        self._on_look: list[Callable[[], Awaitable[None]]] = []

    @property
    def up(self) -> bool:
        """Whether the engine answers."""
        return self._up.is_set()

    @property
    def maybe_broken_before(self) -> bool:
        """Whether a broken process says nothing of the job that met it: another one may have broken it before."""
        return self._broken_process is not None or not (self._proven or self.engine.can_restart)

    @property
    def ready(self) -> bool:
        """Whether it answers and nothing is known to keep it from work, even while one job tries."""
        return self.up and self.disk is None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have a function called when the engine comes up or goes down."""
        self._on_change.append(listener)

    def on_restart(self, listener: Callable[[], None]) -> None:
        """Have a function called before the engine is restarted on purpose."""
        self._on_restart.append(listener)

    def on_look(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Have a function called after each look at an engine that answers, before it counts as up."""
        self._on_look.append(listener)

    def proved(self) -> None:
        """Its process has made something: if it breaks now, it is the doing of whoever breaks it."""
        self._proven = True
        # What was made before the disk took nothing, and is only fetched and checked now, shows nothing of it.
        if self._trying:
            self._disk_is_well()

    async def blocked(self, failure: Failure) -> None:
        """Its disk took nothing: no job goes there until one may try again."""
        folder = folder_of(failure) or self.engine.home
        self.disk = engine_disk.after(
            self.disk,
            failure,
            self.engine.name,
            now=self._monotonic(),
            folder=folder,
            free=await self._free_bytes(folder),
        )
        self._down(self.disk.reason)
        self._lost.set()

    async def wait_up(self) -> None:
        """Wait until the engine answers."""
        await self._up.wait()

    def lost(self, reason: Reason) -> None:
        """Somebody met an engine that does not answer: look at once."""
        self._down(reason)
        self._lost.set()

    async def replace(self, failure: Failure, attempt: Attempt | None) -> None:
        """Have another process after a failure that this one cannot recover from.

        Restarted where a way is set, else waited for: whoever restarts it, jobs go on by themselves.
        """
        if self.engine.can_restart:
            await self._restart()
            return
        if self._broken_process is None:
            name = self.engine.name
            reason = Reason(
                "engine-broken",
                f"{name} cannot work any more: {failure.message}",
                stall.RESTART_IT,
            )
            prompt_id = attempt.prompt_id if attempt is not None else ""
            self._broken_process = _BrokenProcess(reason, self.engine.reconnects, prompt_id)
            self._away = False
            self._down(reason)
        self._lost.set()

    async def free(self) -> None:
        """Ask the engine to let go of memory; an engine that is down has none."""
        with contextlib.suppress(EngineDown, EngineRefused):
            await self.engine.free()

    async def run(self) -> None:
        """Ask the engine how it is, again and again, until cancelled."""
        pause = FIRST_RETRY
        while True:
            self._lost.clear()
            if not await self._look():
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY)
                continue
            if self._broken:
                # It answers, but with the process that every job would fail in: all of them wait.
                await asyncio.sleep(HEAL_SECONDS)
                await self._restart()
                continue
            pause = FIRST_RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._lost.wait()

    async def _look(self) -> bool:
        """Ask once; false where it is to be asked again soon."""
        try:
            async with self._restarting:
                stats = await self.engine.stats()
                self.queue = await self.engine.queue()
            if self._broken_process is not None and await self._replaced(self._broken_process):
                # Somebody may have cleared the history of the same one: not proven.
                self._broken_process, self._proven = None, False
        except (EngineRefused, WrongAnswer) as error:
            # It is there and not well: with a lost CUDA context this question fails as well.
            self._away = True
            self.queue = ()
            self._down(self._broken_process.reason if self._broken_process else error.reason)
            return self._broken
        except EngineDown as error:
            self._broken = False  # whoever comes back is a new process
            self._away = True
            self.queue = ()
            if isinstance(error, EngineGone):
                self._broken_process, self._proven = None, True
            self._down(error.reason)
            return False
        for listener in self._on_look:
            await listener()
        if self._broken:
            return True
        if self._broken_process is not None:
            self._down(self._broken_process.reason)
            return False
        if self._is_stuck(stats):
            if not self.engine.can_restart:
                return False
            # Counted anew, so that a restart that changes nothing is not repeated at every look.
            self._stall = self.stuck = None
            await self._restart()
            return True
        if self.disk is not None and not await self._may_try(self.disk):
            self._down(self.disk.reason)
            return False
        self._is_up(stats)
        return True

    async def _may_try(self, disk: EngineDisk) -> bool:
        """Return whether a job may find out if its disk takes something again."""
        now = self._monotonic()
        if self.up and not self._followed() and now >= disk.due + disk.pause:
            # No job came that could try: the next one finds out.
            self._disk_is_well()
            return True
        return may_try(disk, now=now, free=await self._free_bytes(disk.folder))

    async def _free_bytes(self, folder: Path | None) -> int | None:
        return await asyncio.to_thread(free_bytes, folder) if self.engine.here else None

    def _disk_is_well(self) -> None:
        self.disk, self._trying = None, False
        self._came_up()

    def _is_stuck(self, stats: Stats) -> bool:
        """Return whether its worker has ended or hangs, and take it down if so."""
        now = self._monotonic()
        self._stall = stall.after(
            self._stall,
            self.queue,
            pool_free=stats.pool_free,
            followed=self._followed(),
            now=now,
        )
        self.stuck = stall.judge(self._stall, self.engine.name, now=now, limit=self._stuck_seconds)
        if self.stuck is not None:
            self._down(self.stuck)
        return self.stuck is not None

    def _is_up(self, stats: Stats) -> None:
        earlier, self.stats = self.stats, stats
        if self.up:
            if earlier != stats:
                self._changed()
            return
        self.reason = None
        self._up.set()
        if self.disk is not None:
            # For one job, which finds out; to everybody else it stays down.
            self._trying = True
            self._changed()
            return
        self._came_up()

    def _came_up(self) -> None:
        self._outages.ended(self._address)
        self.since = self._clock()
        self._changed()
        stats = self.stats or Stats(version="")
        log.info(
            "engine %s is up (ComfyUI %s)",
            self.engine.name,
            stats.version,
            extra={"action": "engine-up", "engine": self.engine.name},
        )

    async def _restart(self) -> None:
        """Restart the engine; the prompts that others have there are sent again afterwards."""
        name = self.engine.name
        async with self._restarting:
            for listener in self._on_restart:
                listener()
            self._down(Reason("engine-restarting", f"{name} is being restarted."))
            try:
                await self.engine.restart()
                self._broken = False
            except EngineDown as error:
                if not self._broken:
                    log.error(  # noqa: TRY400 - the sentence says it all
                        "%s", error, extra={"action": "restart-failed", "engine": name}
                    )
                self.reason = error.reason
                self._broken = True
        self._lost.set()

    async def _replaced(self, broken: _BrokenProcess) -> bool:
        """Return whether another process answers: the old one still knows the prompt that it failed in."""
        if self.engine.reconnects == broken.reconnects and not self._away:
            return False  # it has answered, and the connection to it has stood, all the time
        return isinstance(await self.engine.whereabouts(broken.prompt_id), Absent)

    def _down(self, reason: Reason) -> None:
        was_up, unknown_yet = self.up, self.reason is not None and self.reason.key == UNKNOWN
        self._up.clear()
        self.reason = reason
        tried, self._trying = self._trying, False
        if was_up:
            if not (tried and self.disk is not None and self.disk.reason.key == reason.key):
                self.since = self._outages.began(self._address, self._clock())
                about = {"action": "engine-down", "engine": self.engine.name}
                log.warning("%s", reason, extra=about)
            self._changed()
        elif unknown_yet:  # it takes longer to start than the service
            log.info("%s", reason, extra={"action": "engine-awaited", "engine": self.engine.name})

    def _changed(self) -> None:
        for listener in self._on_change:
            listener()


def unknown(name: str) -> Reason:
    """Say that an engine was not asked yet, which is no sign of anything."""
    return Reason(UNKNOWN, f"{name} was not checked yet.", "Look again in a few seconds.")
