"""One engine's lane: keeps it fed with one running and one queued prompt, and sees it fall and rise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..engine.protocol import Engine, Stats
from ..errors import EngineDown, EngineRefused, Reason
from .flight import Flight, Outcome

log = logging.getLogger("zoetrope.jobs")

# One runs, one waits in the engine's own queue: its idle gap is then its own, not ours.
DEPTH = 2
PROBE_SECONDS = 15.0
HEAL_SECONDS = 15.0  # between tries to restart an engine whose restart failed
FIRST_RETRY = 0.25
LONGEST_RETRY = 5.0


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of an engine."""

    name: str
    url: str
    up: bool
    reason: Reason | None
    stats: Stats | None
    since: float
    in_hand: tuple[str, ...]
    reconnects: int


class Dispatcher(Protocol):
    """What a lane asks of the conductor."""

    async def pick(self, lane: Lane) -> str | None:
        """Give the next job for this lane, if there is one."""

    def flight(self, lane: Lane, job_id: str, *, recovering: bool) -> Flight:
        """Make the flight that carries a job."""

    async def settle(self, lane: Lane, job_id: str, outcome: Outcome) -> None:
        """Write down how a flight ended and what follows."""

    async def troubled(self, job_id: str, error: Exception) -> bool:
        """Deal with an error of ours; says whether the flight is to be begun anew."""

    def released(self, job_id: str) -> None:
        """Hear that a job is in nobody's hands any more."""


class Lane:
    """The way of all jobs through one engine."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.name = engine.name
        self.stats: Stats | None = None
        self.reason: Reason | None = Reason("engine-unknown", f"{engine.name} was not asked yet.")
        self.since = clock()
        self.flights: dict[str, Flight] = {}
        self._dispatcher = dispatcher
        self._clock = clock
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._wake = asyncio.Event()
        self._holding: set[str] = set()  # jobs whose prompt the engine still has
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarting = asyncio.Lock()
        self._broken = False  # a restart was needed and could not be had

    @property
    def up(self) -> bool:
        """Whether the engine answers."""
        return self._up.is_set()

    @property
    def idle(self) -> bool:
        """Whether the engine is up and has nothing of ours."""
        return self.up and not self._holding

    def status(self) -> LaneStatus:
        """Say how the engine is."""
        return LaneStatus(
            name=self.name,
            url=self.engine.url,
            up=self.up,
            reason=self.reason,
            stats=self.stats,
            since=self.since,
            in_hand=tuple(self.flights),
            reconnects=self.engine.reconnects,
        )

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def recover(self, job_id: str) -> None:
        """Go on with a job that an earlier process gave to this engine."""
        self._launch(job_id, recovering=True)

    async def run(self) -> None:
        """Work until cancelled; what the engine holds then stays with it."""
        await self.engine.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_watch())
                group.create_task(self._feed())
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.engine.close()

    async def restart(self) -> None:
        """Restart the engine; the prompts that others have there are sent again afterwards."""
        async with self._restarting:
            for flight in self.flights.values():
                flight.forgiven = True
            self._down(Reason("engine-restarting", f"{self.name} is being restarted."))
            try:
                await self.engine.restart()
                self._broken = False
            except EngineDown as error:
                if not self._broken:
                    log.error(  # noqa: TRY400 - the sentence says it all
                        "%s", error, extra={"action": "restart-failed", "engine": self.name}
                    )
                self.reason = error.reason
                self._broken = True
        self._lost.set()

    async def free(self) -> None:
        """Ask the engine to let go of memory; an engine that is down has none."""
        with contextlib.suppress(EngineDown, EngineRefused):
            await self.engine.free()

    async def _keep_watch(self) -> None:
        pause = FIRST_RETRY
        while True:
            self._lost.clear()
            try:
                async with self._restarting:
                    stats = await self.engine.stats()
            except (EngineDown, EngineRefused) as error:
                self._broken = False  # whoever comes back is a new process
                self._down(error.reason)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY)
                continue
            if self._broken:
                # It answers, but with the process that every job would fail in: all of them wait.
                await asyncio.sleep(HEAL_SECONDS)
                await self.restart()
                continue
            pause = FIRST_RETRY
            self.stats = stats
            if not self.up:
                self.reason = None
                self.since = self._clock()
                self._up.set()
                self._wake.set()
                log.info(
                    "engine %s is up (ComfyUI %s)",
                    self.name,
                    stats.version,
                    extra={"action": "engine-up", "engine": self.name},
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._lost.wait()

    def _down(self, reason: Reason) -> None:
        if self.up:
            log.warning("%s", reason, extra={"action": "engine-down", "engine": self.name})
            self.since = self._clock()
        self._up.clear()
        self.reason = reason

    async def _feed(self) -> None:
        while True:
            await self._up.wait()
            self._wake.clear()
            job_id = await self._dispatcher.pick(self) if len(self._holding) < DEPTH else None
            if job_id is not None:
                # One after the other, so that prompts stand at the engine in the order of arrival.
                await self._launch(job_id, recovering=False).sent.wait()
                continue
            await self._wake.wait()

    def _launch(self, job_id: str, *, recovering: bool) -> Flight:
        flight = self._dispatcher.flight(self, job_id, recovering=recovering)
        self.flights[job_id] = flight
        self._holding.add(job_id)
        task = asyncio.create_task(self._carry(job_id, flight), name=f"flight-{job_id[:8]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _dealt_with(self, job_id: str, error: Exception) -> bool:
        """Have an error dealt with; a job must not be lost because that failed as well."""
        try:
            return await self._dispatcher.troubled(job_id, error)
        except Exception:
            log.exception(
                "trouble on trouble", extra={"job": job_id[:8], "action": "internal-error"}
            )
            await asyncio.sleep(FIRST_RETRY)
            return True

    async def _carry(self, job_id: str, flight: Flight) -> None:
        def engine_is_done() -> None:
            self._holding.discard(job_id)
            self._wake.set()

        outcome: Outcome | None = None
        try:
            while True:
                await self._up.wait()
                try:
                    if outcome is None:
                        outcome = await flight.run(engine_is_done)
                    await self._dispatcher.settle(self, job_id, outcome)
                except EngineDown as error:
                    self._down(error.reason)
                    self._lost.set()
                except Exception as error:
                    if not await self._dealt_with(job_id, error):
                        return
                else:
                    return
        finally:
            self.flights.pop(job_id, None)
            flight.sent.set()
            self._dispatcher.released(job_id)
            engine_is_done()
