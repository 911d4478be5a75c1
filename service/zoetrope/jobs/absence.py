"""The absence of an engine: its jobs say what they wait for, and move to another engine after a while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..dispatch.policy import Worker, fits
from ..domain import steps
from ..domain.job import ENDED, Job
from ..domain.query import waiting
from ..domain.values import Failure
from ..errors import Reason, ZoetropeError
from ..store.protocol import JobStore
from .engine_watch import EngineWatch
from .strays import Strays

log = logging.getLogger("zoetrope.jobs")

WAITS = "engine-wait"
MOVED = "moved"
# A restart that takes no longer is not worth a line: the job only shows no time that is left.
QUIET_SECONDS = 5.0
LOOK_SECONDS = 5.0


class Waits(msgspec.Struct, frozen=True):
    """The job waits for its engine."""

    reason: Reason


class Moves(msgspec.Struct, frozen=True):
    """Another engine takes over: the attempt counts as failed, and its prompt as taken back."""

    failure: Failure


class Leaves(msgspec.Struct, frozen=True):
    """The engine has nothing that the job still needs."""


Decision = Waits | Moves | Leaves


def decide(
    job: Job, engine: str, why: Reason, workers: Sequence[Worker], *, away: float, limit: float
) -> Decision:
    """Decide what becomes of a job whose engine has been away for so many seconds; a limit of 0 is none."""
    attempt = job.attempt
    if job.state in ENDED or attempt is None or attempt.engine != engine:
        return Leaves()
    minutes = f"{limit / 60:g} min"
    failure = Failure(
        kind=MOVED,
        message=f"The engine {engine} was away for {minutes}: another engine takes over.",
    )
    # As it would stand in the queue: before its first stage is made, its plan fits any GPU.
    moved = waiting(0, steps.try_again(job, job.updated, failure, _fallbacks(job)))
    others = [each for each in workers if each.name != engine and each.up and fits(moved, each)]
    if others and limit and away > limit:
        return Moves(failure)
    if others and limit:
        step = f"After {minutes} another engine takes over (jobs.move_minutes)."
    else:
        step = why.next_step or "Start the engine; the job goes on by itself."
    return Waits(Reason(WAITS, f"It waits for the engine {engine}: {why.sentence}", step))


def _fallbacks(job: Job) -> tuple[str, ...]:
    return job.stage.fallbacks if job.stage is not None else ()


class Absence:
    """Has the jobs in an engine's hands wait for it, or move."""

    def __init__(
        self,
        ledger: JobStore,
        *,
        workers: Callable[[], Sequence[Worker]],
        move_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._move_seconds = move_seconds
        self._clock = clock
        self._waiting: dict[str, Reason] = {}

    @property
    def waiting(self) -> Mapping[str, Reason]:
        """The jobs that wait for their engine, by their ids."""
        return self._waiting

    async def over(self, watch: EngineWatch, strays: Strays, job_id: str) -> bool:
        """Wait until a job's engine is back; false if the job needs this engine no more, and is to be returned."""
        if watch.up:
            return True
        pause = QUIET_SECONDS
        try:
            while not await _up_within(watch, pause):
                pause = LOOK_SECONDS
                if await self._gone(watch, strays, job_id):
                    return False
        finally:
            self._waiting.pop(job_id, None)
        await self._change(job_id, lambda job: steps.waits_no_more(job, self._clock(), WAITS))
        return True

    async def _gone(self, watch: EngineWatch, strays: Strays, job_id: str) -> bool:
        """Take down what a job waits for, or move it; true if it has no business here any more."""
        try:
            job = await self._ledger.get(job_id)
        except (ZoetropeError, OSError) as error:
            log.warning("%s", error, extra={"job": job_id[:8], "action": "engine-wait"})
            return False
        name, why = watch.engine.name, watch.reason
        if watch.up or why is None:
            return False
        decision = decide(
            job,
            name,
            why,
            self._workers(),
            away=self._clock() - watch.since,
            limit=self._move_seconds,
        )
        match decision:
            case Leaves():
                return True
            case Waits(reason=reason):
                self._waiting[job_id] = reason
                await self._change(job_id, lambda j: self._waits(j, name, reason))
                return False
            case Moves(failure=failure):
                moved = await self._change(job_id, lambda j: self._moves(j, name, failure))
                if moved is None or moved.attempt is not None:
                    return False
                if job.attempt is not None:
                    strays.add(job.attempt.prompt_id, job_id)
                about = {"job": job.short, "action": "job-moved", "engine": name}
                log.warning("%s", failure.message, extra=about)
                return True

    def _waits(self, job: Job, engine: str, reason: Reason) -> Job:
        if job.attempt is None or job.attempt.engine != engine:
            return job
        return steps.wait(job, self._clock(), reason)

    def _moves(self, job: Job, engine: str, failure: Failure) -> Job:
        if job.state in ENDED or job.attempt is None or job.attempt.engine != engine:
            return job
        moved = steps.try_again(job, self._clock(), failure, _fallbacks(job))
        return steps.wait(moved, moved.updated, None)

    async def _change(self, job_id: str, step: Callable[[Job], Job]) -> Job | None:
        """Take a step; a ledger that does not answer now keeps the job where it is."""
        try:
            return await self._ledger.change(job_id, step)
        except (ZoetropeError, OSError) as error:
            log.warning("%s", error, extra={"job": job_id[:8], "action": "engine-wait"})
            return None


async def _up_within(watch: EngineWatch, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watch.wait_up()
    return watch.up
