"""One engine's worker: keeps it fed with one running and one queued prompt, and sees it fall and rise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..domain.job import Attempt
from ..domain.values import Failure
from ..engine.protocol import Absent, Engine, Stats
from ..errors import EngineDown, EngineGone, EngineRefused, Reason, ZoetropeError
from .stage_run import Outcome, StageRun

log = logging.getLogger("zoetrope.jobs")

# One runs, one waits in the engine's own queue: its idle gap is then its own, not ours.
DEPTH = 2
PROBE_SECONDS = 15.0
HEAL_SECONDS = 15.0  # between tries to restart an engine whose restart failed
FIRST_RETRY = 0.25
LONGEST_RETRY = 5.0


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


class _Spoilt(msgspec.Struct, frozen=True):
    """A process that can do no more work: why, and what tells another process from it."""

    reason: Reason
    reconnects: int
    prompt_id: str


class Dispatcher(Protocol):
    """What a worker asks of the conductor."""

    async def pick(self, worker: EngineWorker) -> str | None:
        """Give the next job for this worker, if there is one."""

    def stage_run(self, worker: EngineWorker, job_id: str, *, recovering: bool) -> StageRun:
        """Make the stage_run that carries a job."""

    async def settle(self, worker: EngineWorker, job_id: str, outcome: Outcome) -> None:
        """Write down how a stage_run ended and what follows."""

    async def troubled(self, job_id: str, error: Exception) -> bool:
        """Deal with an error of ours; says whether the stage_run is to be begun anew."""

    def released(self, job_id: str) -> None:
        """Hear that a job is in nobody's hands any more."""


class EngineWorker:
    """The way of all jobs through one engine."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.name = engine.name
        self.stats: Stats | None = None
        self.reason: Reason | None = Reason("engine-unknown", f"{engine.name} was not asked yet.")
        self.since = clock()
        self.stage_runs: dict[str, StageRun] = {}
        self._dispatcher = dispatcher
        self._clock = clock
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._wake = asyncio.Event()
        self._holding: set[str] = set()  # jobs whose prompt the engine still has
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarting = asyncio.Lock()
        self._broken = False  # a restart was needed and could not be had
        self._spoilt: _Spoilt | None = None  # nobody may restart it, and its process is of no use
        self._away = False  # it did not answer, or not well, since then
        self._proven = False  # its process is known to have made something, or to be a new one

    @property
    def up(self) -> bool:
        """Whether the engine answers."""
        return self._up.is_set()

    @property
    def spoilt(self) -> bool:
        """Whether its process is known to fail every job, and another one is waited for."""
        return self._spoilt is not None

    @property
    def excuses(self) -> bool:
        """Whether a broken process says nothing of the job that met it: another one may have broken it before."""
        return self.spoilt or not (self._proven or self.engine.can_restart)

    def proved(self) -> None:
        """Its process has made something: if it breaks now, it is the doing of whoever breaks it."""
        self._proven = True

    @property
    def idle(self) -> bool:
        """Whether the engine is up and has nothing of ours."""
        return self.up and not self._holding

    def status(self) -> WorkerStatus:
        """Say how the engine is."""
        return WorkerStatus(
            name=self.name,
            url=self.engine.url,
            up=self.up,
            reason=self.reason,
            stats=self.stats,
            since=self.since,
            in_hand=tuple(self.stage_runs),
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

    async def replace(self, failure: Failure, attempt: Attempt | None) -> None:
        """Have another process after a failure that this one cannot recover from.

        Restarted where a way is set, else waited for: whoever restarts it, jobs go on by themselves.
        """
        if self.engine.can_restart:
            await self.restart()
            return
        if self._spoilt is None:
            reason = Reason(
                "engine-broken",
                f"{self.name} can do no more work: {failure.message}",
                "Restart the engine; the jobs go on by themselves. With engines.restart set, the"
                " service does that.",
            )
            prompt_id = attempt.prompt_id if attempt is not None else ""
            self._spoilt = _Spoilt(reason, self.engine.reconnects, prompt_id)
            self._away = False
            self._down(reason)
        self._lost.set()

    async def restart(self) -> None:
        """Restart the engine; the prompts that others have there are sent again afterwards."""
        async with self._restarting:
            for stage_run in self.stage_runs.values():
                stage_run.forgiven = True
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
                if self._spoilt is not None and await self._replaced(self._spoilt):
                    # Somebody may have cleared the history of the same one: not proven.
                    self._spoilt, self._proven = None, False
            except EngineDown as error:
                self._broken = False  # whoever comes back is a new process
                self._away = True
                if isinstance(error, EngineGone):
                    self._spoilt, self._proven = None, True
                self._down(error.reason)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY)
                continue
            except EngineRefused as error:
                # It is there and not well: with a lost CUDA context this question fails as well.
                self._away = True
                self._down(self._spoilt.reason if self._spoilt else error.reason)
                if not self._broken:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_RETRY)
                    continue
            if self._broken:
                # It answers, but with the process that every job would fail in: all of them wait.
                await asyncio.sleep(HEAL_SECONDS)
                await self.restart()
                continue
            if self._spoilt is not None:
                self._down(self._spoilt.reason)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY)
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

    async def _replaced(self, spoilt: _Spoilt) -> bool:
        """Tell whether another process answers: the old one still knows the prompt that it failed in."""
        if self.engine.reconnects == spoilt.reconnects and not self._away:
            return False  # it has answered, and the connection to it has stood, all the time
        return isinstance(await self.engine.whereabouts(spoilt.prompt_id), Absent)

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
            job_id = await self._next() if len(self._holding) < DEPTH else None
            if job_id is not None:
                # One after the other, so that prompts stand at the engine in the order of arrival.
                await self._launch(job_id, recovering=False).sent.wait()
                continue
            await self._wake.wait()

    async def _next(self) -> str | None:
        """Ask for a job; a ledger that does not answer now is asked again."""
        try:
            return await self._dispatcher.pick(self)
        except (ZoetropeError, OSError) as error:
            log.error("%s", error, extra={"action": "pick-failed", "engine": self.name})  # noqa: TRY400
            asyncio.get_running_loop().call_later(LONGEST_RETRY, self._wake.set)
            return None

    def _launch(self, job_id: str, *, recovering: bool) -> StageRun:
        stage_run = self._dispatcher.stage_run(self, job_id, recovering=recovering)
        self.stage_runs[job_id] = stage_run
        self._holding.add(job_id)
        task = asyncio.create_task(self._carry(job_id, stage_run), name=f"stage-run-{job_id[:8]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return stage_run

    async def _dealt_with(self, job_id: str, error: Exception) -> bool:
        """Have an error dealt with; a job must not be lost because that failed as well."""
        try:
            return await self._dispatcher.troubled(job_id, error)
        except ZoetropeError as worse:
            about = {"job": job_id[:8], "action": worse.key}
            log.error("%s", worse, extra=about)  # noqa: TRY400 - the sentence says it all
        except Exception:
            log.exception(
                "error handler failed; retrying",
                extra={"job": job_id[:8], "action": "internal-error"},
            )
        return True

    async def _carry(self, job_id: str, stage_run: StageRun) -> None:
        def engine_is_done() -> None:
            self._holding.discard(job_id)
            self._wake.set()

        outcome: Outcome | None = None
        pause = 0.0  # grows while it gets no further, so that nobody is asked without end
        try:
            while True:
                await asyncio.sleep(pause)
                pause = min(2 * pause or FIRST_RETRY, LONGEST_RETRY)
                await self._up.wait()
                try:
                    if outcome is None:
                        outcome = await stage_run.run(engine_is_done)
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
            self.stage_runs.pop(job_id, None)
            stage_run.sent.set()
            self._dispatcher.released(job_id)
            engine_is_done()
