"""One engine's worker: keeps it fed with one running and one queued prompt, and sees each stage run through."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..dispatch.policy import Worker
from ..dispatch.queue import Lease, LeaseLost, Queue
from ..engine.protocol import Engine, Stats
from ..errors import EngineDown, Reason, WrongAnswer, ZoetropeError
from ..logs import log_failure
from . import wrong_answers
from .absence import Absence
from .engine_watch import FIRST_RETRY, LONGEST_RETRY, EngineWatch
from .idle import IdleMemory
from .outages import Outages
from .outcome import Outcome, Succeeded
from .progress import Live
from .settlement import After, At, Settlement
from .stage_run import StageRun
from .strays import Strays

log = logging.getLogger("zoetrope.jobs")

# One runs, one waits in the engine's own queue: its idle gap is then its own, not ours.
DEPTH = 2
EXTEND_SECONDS = 20.0


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of an engine."""

    name: str
    url: str
    up: bool
    reason: Reason | None
    stats: Stats | None
    since: float
    in_hand: tuple[str, ...]
    reconnects: int
    others: int = 0  # prompts of other clients in its queue


class MakeRun(Protocol):
    """Makes the stage run that carries a job's present stage with an engine."""

    def __call__(self, job_id: str, engine: Engine, stats: Stats, *, recovering: bool) -> StageRun:
        """Make it; `recovering` is whether the engine may already have the prompt."""


class EngineWorker:
    """The way of all jobs through one engine: lease, run, settle, return."""

    def __init__(
        self,
        engine: Engine,
        queue: Queue,
        *,
        make_run: MakeRun,
        settlement: Settlement,
        standstill: Callable[[], bool],
        free_after: float | None,
        absence: Absence,
        strays: Strays,
        stuck_seconds: float,
        outages: Outages,
        clock: Callable[[], float],
    ) -> None:
        self.engine = engine
        self.name = engine.name
        self._watch = EngineWatch(
            engine,
            clock,
            stuck_seconds=stuck_seconds,
            followed=lambda: [run.prompt_id for run in self._runs.values()],
            outages=outages,
        )
        self._absence = absence
        self._strays = strays
        self._queue = queue
        self._make_run = make_run
        self._settlement = settlement
        self._runs: dict[str, StageRun] = {}
        self._carriers: dict[Lease, asyncio.Task[None]] = {}
        self._look = asyncio.Event()
        self._memory = IdleMemory(
            engine,
            after=free_after,
            stats=lambda: self._watch.stats,
            ours=lambda: len(self._runs),
            standstill=standstill,
            clock=clock,
        )
        self._watch.on_change(self._report)
        self._watch.on_restart(self._note_restart)
        self._watch.on_look(lambda: self._strays.clear(self._watch.queue))
        queue.on_offer(self._look.set)
        self._report()

    def status(self) -> WorkerStatus:
        """Say how the engine is."""
        disk = self._watch.disk
        return WorkerStatus(
            name=self.name,
            url=self.engine.url,
            up=self._watch.ready,
            reason=self._watch.reason or (disk.reason if disk is not None else None),
            stats=self._watch.stats,
            since=self._watch.since,
            in_hand=tuple(self._runs),
            reconnects=self.engine.reconnects,
            others=sum(not entry.ours for entry in self._watch.queue),
        )

    def live(self, job_id: str) -> Live | None:
        """Say how far a job's stage is here."""
        run = self._runs.get(job_id)
        return run.live if run is not None else None

    def recover(self, job_id: str) -> None:
        """Go on with a job that an earlier process gave to this engine."""
        run = self._launch(self._queue.adopt(job_id, self.name), recovering=True)
        # What went with the service, as it does, is no crash: the prompt is sent again.
        run.restarted = self.engine.starts_anew

    async def step_aside(self, *, running: bool) -> None:
        """Take back, for a pause, what the engine has not begun, or everything."""
        for run in list(self._runs.values()):
            # A prompt that an engine without an answer may have is looked for when it answers.
            with contextlib.suppress(ZoetropeError):
                await run.step_aside(running=running)
        self._memory.wake()

    async def run(self) -> None:
        """Work until cancelled; what the engine holds then stays with it."""
        await self.engine.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            group.create_task(self._feed())
            group.create_task(self._extend())
            group.create_task(self._memory.run())

    async def stop(self) -> None:
        """End what carries jobs here, also what was taken up before the work began."""
        carriers = list(self._carriers.values())
        for task in carriers:
            task.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)
        await self.engine.close()

    def _report(self) -> None:
        stats = self._watch.stats
        for run in self._runs.values():
            run.stuck = self._watch.stuck
        self._queue.report(
            Worker(
                name=self.name,
                up=self._watch.up,
                gigabytes=stats.gigabytes if stats is not None else None,
                # Only one at a time finds out whether a disk takes something again.
                depth=DEPTH if self._watch.disk is None else 1,
            )
        )

    def _note_restart(self) -> None:
        for run in self._runs.values():
            run.restarted = True

    async def _feed(self) -> None:
        while True:
            await self._watch.wait_up()
            self._look.clear()
            lease = await self._next()
            if lease is not None:
                # One after the other, so that prompts stand at the engine in the order of the queue.
                await self._launch(lease, recovering=False).sent.wait()
                continue
            await self._look.wait()

    async def _next(self) -> Lease | None:
        """Ask for a job; a store that does not answer now is asked again."""
        try:
            return await self._queue.lease(self.name)
        except (ZoetropeError, OSError) as error:
            log.error("%s", error, extra={"action": "lease-failed", "engine": self.name})  # noqa: TRY400
            asyncio.get_running_loop().call_later(LONGEST_RETRY, self._look.set)
            return None

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            self.extend_leases()

    def extend_leases(self) -> None:
        """Keep the jobs that are carried."""
        for lease, carrier in list(self._carriers.items()):
            # One that was just returned may be in other hands, and would be held here again.
            if carrier.done():
                continue
            try:
                self._queue.extend(lease)
            except LeaseLost as error:
                # The job may be in other hands: whoever has it finds the prompt by its id.
                about = {"job": lease.job[:8], "action": error.key}
                log.error("%s", error, extra=about)  # noqa: TRY400 - the sentence says it all
                carrier.cancel()

    def _launch(self, lease: Lease, *, recovering: bool) -> StageRun:
        stats = self._watch.stats or Stats(version="")
        run = self._make_run(lease.job, self.engine, stats, recovering=recovering)
        self._runs[lease.job] = run
        carrier = asyncio.create_task(self._carry(lease, run), name=f"job-{lease.job[:8]}")
        self._carriers[lease] = carrier
        carrier.add_done_callback(lambda _: self._carriers.pop(lease))
        return run

    async def _carry(self, lease: Lease, run: StageRun) -> None:
        """Run a stage and have its end settled, however often that takes."""
        ended: Outcome | None = None
        pause = 0.0
        try:
            while True:
                await asyncio.sleep(pause)
                # What is here needs no engine any more.
                waits = ended is None
                if waits and not await self._absence.over(self._watch, self._strays, lease.job):
                    return
                try:
                    if ended is None:
                        ended = await run.run(lambda: self._queue.engine_is_done(lease))
                    if isinstance(ended, Succeeded):
                        self._watch.proved()
                    after = await self._settlement.settle(self._at(), lease.job, ended)
                except EngineDown as error:
                    self._watch.lost(error.reason)
                    pause = next_pause(pause, error)
                    continue
                except Exception as error:
                    after = await self._dealt_with(lease.job, error)
                await self._care(after)
                if not after.again:
                    return
                pause = next_pause(pause)
        finally:
            if self._runs.get(lease.job) is run:
                del self._runs[lease.job]
            run.sent.set()
            self._queue.give_back(lease)

    async def _dealt_with(self, job_id: str, error: Exception) -> After:
        """Have an error dealt with; a job must not be lost because that failed as well."""
        try:
            return await self._settlement.settle(self._at(), job_id, error)
        except ZoetropeError as worse:
            about = {"job": job_id[:8], "action": worse.key}
            log.error("%s", worse, extra=about)  # noqa: TRY400 - the sentence says it all
        except Exception as worse:
            about = {"job": job_id[:8], "action": "internal-error"}
            log_failure(log, worse, "error handler failed; retrying", about)
        return After(again=True)

    async def _care(self, after: After) -> None:
        if after.blocked is not None:
            await self._watch.blocked(after.blocked)
        if after.replace is not None:
            await self._watch.replace(after.replace, after.attempt)
        elif after.free:
            await self._watch.free()

    def _at(self) -> At:
        stats = self._watch.stats
        return At(
            engine=self.name,
            device=stats.device if stats is not None else "",
            can_restart=self.engine.can_restart,
            maybe_broken_before=self._watch.maybe_broken_before,
            home=self.engine.home,
        )


def next_pause(pause: float, error: EngineDown | None = None) -> float:
    """Say how long to wait before the next try: it grows, so that no engine is asked without end.

    A service that answers in the engine's place is put right by a person, one that is down is looked for more often.
    """
    wrong = isinstance(error, WrongAnswer)
    return min(2 * pause or FIRST_RETRY, wrong_answers.LONGEST_PAUSE if wrong else LONGEST_RETRY)
