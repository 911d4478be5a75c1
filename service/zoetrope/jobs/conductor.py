"""The conductor: gives jobs to engines, writes down how it went, and takes people's orders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from ..domain import steps
from ..domain.job import ENDED, Job, State
from ..engine.protocol import Engine, Stats
from ..errors import (
    IllegalTransition,
    NotGiven,
    NotReadable,
    Reason,
    RecipeError,
    Rejected,
    ZoetropeError,
    is_disk_full,
)
from ..gpu.tuner import Tuner
from ..graphs.shelf import Recipes
from ..models.hashes import Hashes
from ..settings import Settings
from ..store.patience import insist
from ..store.protocol import JobStore
from ..verify.check import CheckerDown
from . import fallbacks, recovery
from .lint_gate import LintGate
from .outbox import Outbox
from .progress import Live
from .publisher import Publisher, reason_of, way_out
from .room import Room
from .stage_request import begun, planned, size_key
from .stage_run import Failed, NotSent, Obsolete, Outcome, StageRun, Succeeded
from .worker import EngineWorker, WorkerStatus

log = logging.getLogger("zoetrope.jobs")

# Between tries while something is wrong that is not the job's: a broken recipe, a missing checker.
HOST_SECONDS = 5.0
LONGEST_WAIT = 15.0


class _Wait(msgspec.Struct, frozen=True):
    """What keeps a job that is not at its fault, and how long it waits between two tries."""

    reason: Reason
    pause: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the conductor is doing; `waiting` says what keeps single jobs, by their ids."""

    paused: Reason | None
    workers: tuple[WorkerStatus, ...]
    waiting: Mapping[str, Reason] = {}


class Conductor:
    """Moves every job on; the only part that knows ledger, engines and outbox at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: JobStore,
        recipes: Recipes,
        engines: Sequence[Engine],
        outbox: Outbox,
        explain: Callable[[Job], Awaitable[None]],
        tell: Callable[[str, Live], None],
        hashes: Hashes,
        tuner: Tuner | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._recipes = recipes
        self._outbox = outbox
        self._explain = explain
        self._tell = tell
        self._hashes = hashes
        self._tuner = tuner
        self._gate = LintGate(settings)
        self._clock = clock
        self._workers = [EngineWorker(engine, self, clock) for engine in engines]
        self._publisher = Publisher(
            outbox,
            ledger=ledger,
            recipes=recipes,
            work=settings.work,
            hashes=hashes,
            clock=clock,
        )
        self._waits: dict[str, _Wait] = {}
        self._too_large: dict[str, Reason] = {}  # for every GPU that there is
        self._in_hand: set[str] = set()
        self._picking = asyncio.Lock()
        folders = (settings.state.path, settings.outbox.path)
        self._room = Room(folders, settings.state.min_free_megabytes * 1_000_000, self._wake)
        self._timer: asyncio.TimerHandle | None = None
        ledger.on_change(lambda _, job: self._written(job))

    async def run(self) -> None:
        """Take up what an earlier process left, then work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._room.run())
            group.create_task(self._publisher.run())
            await self._recover(group)
            for worker in self._workers:
                group.create_task(worker.run())

    def status(self) -> Status:
        """Say what is going on."""
        waits = {job_id: wait.reason for job_id, wait in self._waits.items()}
        return Status(
            paused=self._room.short,
            workers=tuple(worker.status() for worker in self._workers),
            waiting={**self._too_large, **waits, **self._publisher.waiting},
        )

    def live(self, job_id: str) -> Live | None:
        """Say how far a job's running stage is."""
        for worker in self._workers:
            if (stage_run := worker.stage_runs.get(job_id)) is not None:
                return stage_run.live
        return None

    async def approve(self, job_id: str) -> Job:
        """A person likes what the review shows."""
        job = await self._ledger.change(job_id, lambda j: steps.approve(j, self._clock()))
        await self._publisher.see_to(job_id)
        return job

    async def decline(self, job_id: str, why: str = "") -> Job:
        """A person does not like what the review shows."""
        job = await self._ledger.change(job_id, lambda j: steps.decline(j, self._clock(), why))
        await self._publisher.see_to(job_id)
        return job

    async def cancel(self, job_id: str, why: str = "") -> Job:
        """A person takes a job back; the engine is told at once, or as soon as it answers."""
        before = await self._ledger.get(job_id)
        job = await self._ledger.change(job_id, lambda j: steps.cancel(j, self._clock(), why))
        await self._publisher.see_to(job_id)
        if before.attempt is not None:
            for worker in self._workers:
                if worker.name == before.attempt.engine:
                    with contextlib.suppress(ZoetropeError):
                        await worker.engine.withdraw(before.attempt.prompt_id)
        return job

    async def retry(self, job_id: str) -> Job:
        """A person wants a failed or cancelled job tried again."""
        job = await self._ledger.change(job_id, lambda j: steps.retry(j, self._clock()))
        if job.state is State.REVIEW or job.stage is None:
            await self._publisher.see_to(job_id)
            job = await self._ledger.get(job_id)
        return job

    # What workers ask.

    async def pick(self, worker: EngineWorker) -> str | None:
        """Give a worker the oldest job that nobody has, unless an idle engine should have it."""
        if self._room.short is not None:
            return None
        if not worker.idle and any(other.idle for other in self._workers if other is not worker):
            return None
        async with self._picking:
            unfit: set[str] = set()
            while True:
                job = await self._ledger.next(self._clock(), without=self._in_hand | unfit)
                if job is None:
                    await self._set_timer()
                    return None
                if await self._fits(worker, job):
                    self._in_hand.add(job.id)
                    self._too_large.pop(job.id, None)
                    return job.id
                unfit.add(job.id)

    async def _fits(self, worker: EngineWorker, job: Job) -> bool:
        """Tell whether a worker's GPU has the memory that a begun job's plan is made for."""
        if job.plan is None or not begun(job):
            return True
        try:
            recipe = await self._recipes.of(job)
        except RecipeError:
            return True  # the stage_run says what is wrong
        classes = {
            each.name: recipe.memory_class(each.stats.gigabytes if each.stats else 0.0)
            for each in self._workers
        }
        if max(classes.values()) < job.plan.memory:
            sentence = (
                f"Its plan is made for a GPU with {job.plan.memory} GB, on which its first stage"
                " ran, and no engine has one now."
            )
            step = "Start that engine again; or cancel the job and drop its picture anew."
            self._too_large[job.id] = Reason("gpu-too-small", sentence, step)
        return classes[worker.name] >= job.plan.memory

    def stage_run(self, worker: EngineWorker, job_id: str, *, recovering: bool) -> StageRun:
        """Make the stage_run that carries a job with this worker's engine."""
        return StageRun(
            job_id,
            worker.engine,
            ledger=self._ledger,
            recipes=self._recipes,
            work=self._settings.work,
            stats=worker.stats or Stats(version=""),
            patience=self._settings.jobs.patience_seconds,
            recovering=recovering,
            embed_graph=self._settings.outbox.embed_graph,
            clock=self._clock,
            tell=self._tell,
            gate=self._gate,
            hashes=self._hashes,
            tuner=self._tuner,
        )

    def released(self, job_id: str) -> None:
        """A job is in nobody's hands any more."""
        self._in_hand.discard(job_id)
        self._wake()

    async def settle(self, worker: EngineWorker, job_id: str, outcome: Outcome) -> None:
        """Write down how a stage_run ended and what follows."""
        job = await self._ledger.get(job_id)
        if isinstance(outcome, Obsolete) or job.state in ENDED:
            return
        if isinstance(outcome, Succeeded):
            worker.proved()
            if job.attempt is not None:
                job = await self._arrived(worker, job, outcome)
            self._over(job)
            # Apart from the step above: what keeps it out of the outbox is waited for there.
            if job.stage is None or job.state is State.REVIEW:
                await self._publisher.see_to(job_id)
        else:
            await self._failed(worker, job, outcome)

    async def troubled(self, job_id: str, error: Exception) -> bool:
        """Deal with an error that stopped a stage_run: wait, refuse, or fail the job with a reason."""
        if is_disk_full(error):
            self._room.used_up()
            await self._room.wait()
            return True
        job = await self._ledger.get(job_id)
        if isinstance(error, IllegalTransition) and job.state in ENDED:
            # Cancelled between two of our steps: begun anew, the stage_run takes the prompt back.
            return True
        if isinstance(error, NotSent | NotGiven | CheckerDown):
            unsent = isinstance(error, NotSent)
            return await self._wait(job, way_out(job_id, error.reason), unsent=unsent)
        if (reason := reason_of(error, job_id)) is not None:
            return await self._wait(job, reason)
        now = self._clock()
        if isinstance(error, Rejected):
            refused = error.reason
            await self._explain(
                await self._ledger.change(job_id, lambda j: steps.reject(j, now, refused))
            )
        else:
            log.exception("stage run failed", extra={"job": job_id[:8], "action": "internal-error"})
            internal = Reason(
                "internal",
                f"Unexpected error: {type(error).__name__}: {error}.",
                "This is a fault of the service: see its log, then retry the job.",
            )
            await self._explain(
                await self._ledger.change(job_id, lambda j: steps.fail(j, now, internal))
            )
        return False

    async def _wait(self, job: Job, reason: Reason, *, unsent: bool = False) -> bool:
        """Keep a job where it stands until what is not its fault is over; true if its stage_run goes on."""
        known = self._waits.get(job.id)
        pause = min(2 * known.pause, LONGEST_WAIT) if known else HOST_SECONDS
        self._waits[job.id] = _Wait(reason, pause)
        if known is None or known.reason.key != reason.key:
            log.error("it waits: %s", reason, extra={"job": job.short, "action": reason.key})
        now = self._clock()
        if job.state is State.QUEUED and (job.attempt is None or unsent):
            # No engine has anything of it: others may go first.
            await self._ledger.change(job.id, lambda j: steps.hold(j, now, reason, now + pause))
            return False
        if job.attempt is None:
            self._waits.pop(job.id)
            self._publisher.owe(job.id)
            return False
        # What the engine makes, or has made, is kept.
        await self._ledger.change(job.id, lambda j: steps.wait(j, now, reason))
        await asyncio.sleep(pause)
        return True

    # How stages end.

    async def _arrived(self, worker: EngineWorker, job: Job, outcome: Succeeded) -> Job:
        stage, attempt = job.stage, job.attempt
        assert stage is not None
        assert attempt is not None
        now = self._clock()

        def finish(before: Job) -> Job:
            return steps.finish_stage(
                before,
                now,
                outcome.artefacts,
                handoff=outcome.handoff,
                verdicts=outcome.verdicts,
                poster=outcome.poster,
            )

        after = finish(job)
        if after.state is State.REVIEW:
            # Shown before it is asked for, so that whoever hears of the review finds it there. The
            # review can be answered on the page as well: a closed outbox does not hold it back.
            with contextlib.suppress(OSError, NotReadable):
                await asyncio.to_thread(self._outbox.show_review, after, self._work(job))
        job = await self._ledger.change(job.id, finish)
        if self._tuner is not None:
            await self._tuner.sound(attempt.gpu)
        lasting = tuple(r for r in attempt.relief if r not in (fallbacks.FREE, fallbacks.RESTART))
        if lasting:
            # Only a memory for later jobs: a recipe that was broken meanwhile leaves none.
            with contextlib.suppress(RecipeError, Rejected):
                recipe = await self._recipes.of(job)
                size = size_key(planned(recipe, job))
                card = worker.stats.device if worker.stats else ""
                await self._ledger.remember_rung(recipe.name, stage.name, size, card, lasting)
        log.info("stage %s finished", stage.name, extra={"job": job.short, "action": "stage-done"})
        return job

    async def _failed(self, worker: EngineWorker, job: Job, outcome: Failed) -> None:
        failure, now = outcome.failure, self._clock()
        # An earlier job may have broken this process's CUDA context: that counts for no job after it.
        excused = failure.kind == "cuda" and worker.excuses
        if excused:
            failure = msgspec.structs.replace(failure, kind=fallbacks.BYSTANDER)
        if self._tuner is not None and job.attempt is not None:
            usage, message = job.attempt.gpu, failure.message
            await self._tuner.failed(worker.name, usage, failure.kind, failure.looks, message)
        decision = fallbacks.decide(
            failure, steps.with_failure(job, now, failure), await self._means(worker, job)
        )
        log.warning(
            "%s (%s)",
            failure.message,
            type(decision).__name__.lower(),
            extra={"job": job.short, "action": "stage-failed", "kind": failure.kind},
        )
        match decision:
            case fallbacks.Again(rungs=rungs, delay=delay):
                await self._ledger.change(
                    job.id,
                    lambda j: steps.try_again(
                        j, now, failure, rungs, now + delay if delay else 0.0
                    ),
                )
                if decision.restart or excused:
                    await worker.replace(outcome.failure, job.attempt)
                elif decision.free:
                    await worker.free()
            case fallbacks.Hold(reason=reason, delay=delay):
                await self._ledger.change(job.id, lambda j: steps.hold(j, now, reason, now + delay))
            case fallbacks.GiveUp(reason=reason):
                await self._explain(
                    await self._ledger.change(job.id, lambda j: steps.fail(j, now, reason, failure))
                )
                if decision.restart:
                    await worker.replace(failure, job.attempt)
            case fallbacks.Refuse(reason=reason):
                await self._explain(
                    await self._ledger.change(job.id, lambda j: steps.reject(j, now, reason))
                )
            case fallbacks.Dropped(reason=reason):
                await self._ledger.change(job.id, lambda j: steps.cancel(j, now, reason.sentence))

    async def _means(self, worker: EngineWorker, job: Job) -> fallbacks.Means:
        recipe = await self._recipes.of(job)
        stage = job.stage
        return fallbacks.Means(
            reliefs=recipe.reliefs(recipe.stage(stage.name), job.ticket) if stage else (),
            can_restart=worker.engine.can_restart,
            retries=self._settings.jobs.retries,
        )

    # What an earlier process left, and what changes meanwhile.

    async def _recover(self, group: asyncio.TaskGroup) -> None:
        """Take up every job where it stands; what is wrong with one of them keeps no other."""
        workers = {worker.name: worker for worker in self._workers}
        states = (State.QUEUED, State.RUNNING, State.REVIEW)
        found = await insist(lambda: self._ledger.all_in(*states))
        for job in found:
            if job.state is State.REVIEW or job.stage is None:
                self._publisher.owe(job.id)
            elif (attempt := job.attempt) is not None:
                self._in_hand.add(job.id)
                if (worker := workers.get(attempt.engine)) is not None:
                    worker.recover(job.id)
                else:
                    group.create_task(self._move(job, attempt.engine))
        with contextlib.suppress(OSError):
            await recovery.sweep(self._ledger, self._recipes, self._settings.work)

    async def _move(self, job: Job, engine: str) -> None:
        await recovery.move(self._ledger, job, engine, self._clock)
        self.released(job.id)

    def _written(self, job: Job) -> None:
        if job.reason is None or job.state in ENDED:
            self._over(job)
            self._too_large.pop(job.id, None)
        if job.state is State.QUEUED:
            self._wake()

    def _over(self, job: Job) -> None:
        """What kept a job is over."""
        if self._waits.pop(job.id, None) is not None and job.state not in ENDED:
            log.info("it goes on", extra={"job": job.short, "action": "goes-on"})

    def _wake(self) -> None:
        for worker in self._workers:
            worker.wake()

    async def _set_timer(self) -> None:
        soonest = await self._ledger.soonest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if soonest is not None:
            delay = max(0.05, soonest - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _work(self, job: Job) -> Path:
        return self._settings.work / job.id
