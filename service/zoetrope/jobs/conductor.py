"""The conductor: gives jobs to engines, writes down how it went, and takes people's orders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from ..engine.protocol import Engine, Stats
from ..errors import (
    IllegalTransition,
    NotFound,
    Reason,
    RecipeError,
    Rejected,
    ZoetropeError,
    is_disk_full,
)
from ..gpu.tuner import Tuner
from ..graphs.shelf import Recipes
from ..settings import Settings
from . import job as steps
from . import ladder, receipt
from .course import planned, size_key
from .flight import Broke, Brought, Flight, Gone, Outcome
from .job import ENDED, Failure, Job, State
from .lane import Lane, LaneStatus
from .ledger import Ledger
from .outbox import Outbox
from .progress import Live
from .proof import Proofreader
from .verify import CheckerDown

log = logging.getLogger("zoetrope.jobs")

DISK_SECONDS = 10.0
# Between tries while something is wrong that is not the job's: a broken recipe, a missing checker.
HOST_SECONDS = 5.0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the conductor is doing."""

    paused: Reason | None
    lanes: tuple[LaneStatus, ...]


class Conductor:
    """Moves every job on; the only part that knows ledger, engines and outbox at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        recipes: Recipes,
        engines: Sequence[Engine],
        outbox: Outbox,
        explain: Callable[[Job], Awaitable[None]],
        tell: Callable[[str, Live], None],
        tuner: Tuner | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._recipes = recipes
        self._outbox = outbox
        self._explain = explain
        self._tell = tell
        self._tuner = tuner
        self._proof = Proofreader(settings)
        self._clock = clock
        self._lanes = [Lane(engine, self, clock) for engine in engines]
        self._in_hand: set[str] = set()
        self._picking = asyncio.Lock()
        self._paused: Reason | None = None
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._timer: asyncio.TimerHandle | None = None
        ledger.listen(self._written)

    async def run(self) -> None:
        """Take up what an earlier process left, then work until cancelled."""
        await self._recover()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_disk())
            for lane in self._lanes:
                group.create_task(lane.run())

    def status(self) -> Status:
        """Say what is going on."""
        return Status(paused=self._paused, lanes=tuple(lane.status() for lane in self._lanes))

    def live(self, job_id: str) -> Live | None:
        """Say how far a job's running stage is."""
        for lane in self._lanes:
            if (flight := lane.flights.get(job_id)) is not None:
                return flight.live
        return None

    async def approve(self, job_id: str) -> Job:
        """A person likes what the review shows."""
        job = await self._ledger.change(job_id, lambda j: steps.approve(j, self._clock()))
        await asyncio.to_thread(self._outbox.clear_review, job)
        return job

    async def decline(self, job_id: str, why: str = "") -> Job:
        """A person does not like what the review shows."""
        job = await self._ledger.change(job_id, lambda j: steps.decline(j, self._clock(), why))
        await asyncio.to_thread(self._outbox.clear_review, job)
        return job

    async def cancel(self, job_id: str, why: str = "") -> Job:
        """A person takes a job back; the engine is told at once, or as soon as it answers."""
        before = await self._ledger.get(job_id)
        job = await self._ledger.change(job_id, lambda j: steps.cancel(j, self._clock(), why))
        await asyncio.to_thread(self._outbox.clear_review, job)
        if before.attempt is not None:
            for lane in self._lanes:
                if lane.name == before.attempt.engine:
                    with contextlib.suppress(ZoetropeError):
                        await lane.engine.withdraw(before.attempt.prompt_id)
        return job

    async def retry(self, job_id: str) -> Job:
        """A person wants a failed or cancelled job tried again."""
        job = await self._ledger.change(job_id, lambda j: steps.retry(j, self._clock()))
        if job.state is State.REVIEW:
            await asyncio.to_thread(self._outbox.show_review, job, self._work(job))
        elif job.stage is None:
            await self._publish(job)
            job = await self._ledger.get(job_id)
        return job

    # What lanes ask.

    async def pick(self, lane: Lane) -> str | None:
        """Give a lane the oldest job that nobody has, unless an idle engine should have it."""
        if self._paused is not None:
            return None
        if not lane.idle and any(other.idle for other in self._lanes if other is not lane):
            return None
        async with self._picking:
            job = await self._ledger.next(self._clock(), without=self._in_hand)
            if job is None:
                await self._set_timer()
                return None
            self._in_hand.add(job.id)
            return job.id

    def flight(self, lane: Lane, job_id: str, *, recovering: bool) -> Flight:
        """Make the flight that carries a job with this lane's engine."""
        return Flight(
            job_id,
            lane.engine,
            ledger=self._ledger,
            recipes=self._recipes,
            work=self._settings.work,
            stats=lane.stats or Stats(version=""),
            patience=self._settings.jobs.patience_seconds,
            recovering=recovering,
            embed_graph=self._settings.outbox.embed_graph,
            clock=self._clock,
            tell=self._tell,
            proof=self._proof,
            tuner=self._tuner,
        )

    def released(self, job_id: str) -> None:
        """A job is in nobody's hands any more."""
        self._in_hand.discard(job_id)
        self._wake()

    async def settle(self, lane: Lane, job_id: str, outcome: Outcome) -> None:
        """Write down how a flight ended and what follows."""
        job = await self._ledger.get(job_id)
        if isinstance(outcome, Gone) or job.state in ENDED:
            return
        if isinstance(outcome, Brought):
            if job.attempt is not None:
                job = await self._arrived(lane, job, outcome)
            # Outside of the step above, so that a disk that was full here is tried again here.
            if job.stage is None:
                await self._publish(job)
        else:
            await self._failed(lane, job, outcome)

    async def troubled(self, job_id: str, error: Exception) -> bool:
        """Deal with an error of ours: wait for the disk, refuse, or fail the job with a reason."""
        if is_disk_full(error):
            self._pause()
            await self._resumed.wait()
            return True
        if isinstance(error, IllegalTransition) and (await self._ledger.get(job_id)).state in ENDED:
            # Cancelled between two of our steps: begun anew, the flight takes the prompt back.
            return True
        job = await self._ledger.get(job_id)
        if isinstance(error, CheckerDown | RecipeError) and job.attempt is not None:
            # The host's matter, or a recipe edited while its stage ran: what the engine made is kept.
            log.error("%s", error, extra={"job": job.short, "action": error.key})
            await asyncio.sleep(HOST_SECONDS)
            return True
        now = self._clock()
        if isinstance(error, RecipeError):
            reason = error.reason
            await self._ledger.change(job_id, lambda j: steps.hold(j, now, reason, now + 60))
        elif isinstance(error, Rejected):
            reason = error.reason
            await self._explain(
                await self._ledger.change(job_id, lambda j: steps.reject(j, now, reason))
            )
        else:
            log.exception("flight failed", extra={"job": job_id[:8], "action": "internal-error"})
            reason = Reason(
                "internal",
                f"zoetrope stumbled: {type(error).__name__}: {error}.",
                "This is a fault of the service: see its log, then retry the job.",
            )
            await self._explain(
                await self._ledger.change(job_id, lambda j: steps.fail(j, now, reason))
            )
        return False

    # How stages end.

    async def _arrived(self, lane: Lane, job: Job, outcome: Brought) -> Job:
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
            # Shown before it is asked for, so that whoever hears of the review finds it there.
            await asyncio.to_thread(self._outbox.show_review, after, self._work(job))
        job = await self._ledger.change(job.id, finish)
        if self._tuner is not None:
            await self._tuner.sound(attempt.gpu)
        lasting = tuple(r for r in attempt.relief if r not in (ladder.FREE, ladder.RESTART))
        if lasting:
            recipe = await asyncio.to_thread(self._recipes.get, job.ticket.recipe)
            plan = planned(recipe, job)
            card = lane.stats.device if lane.stats else ""
            await self._ledger.remember_rung(recipe.name, stage.name, size_key(plan), card, lasting)
        log.info("stage %s finished", stage.name, extra={"job": job.short, "action": "stage-done"})
        return job

    async def _publish(self, job: Job) -> None:
        recipe = await asyncio.to_thread(self._recipes.get, job.ticket.recipe)
        plan = planned(recipe, job)
        now = self._clock()
        paper = receipt.encode(receipt.write(job, plan, now))
        work = self._work(job)
        name = await asyncio.to_thread(self._outbox.publish, job, work, paper)
        made = [artefact.sha256 for stage in job.stages for artefact in stage.artefacts]
        await self._ledger.publish(job.id, lambda j: steps.publish(j, now, name), made)
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        log.info("done: %s", name, extra={"job": job.short, "action": "done"})

    async def _failed(self, lane: Lane, job: Job, outcome: Broke) -> None:
        failure, now = outcome.failure, self._clock()
        if self._tuner is not None and job.attempt is not None:
            usage, message = job.attempt.gpu, failure.message
            await self._tuner.failed(lane.name, usage, failure.kind, failure.looks, message)
        decision = ladder.decide(
            failure, steps.with_failure(job, now, failure), await self._means(lane, job)
        )
        log.warning(
            "%s (%s)",
            failure.message,
            type(decision).__name__.lower(),
            extra={"job": job.short, "action": "stage-failed", "kind": failure.kind},
        )
        match decision:
            case ladder.Again(rungs=rungs, delay=delay):
                await self._ledger.change(
                    job.id,
                    lambda j: steps.try_again(
                        j, now, failure, rungs, now + delay if delay else 0.0
                    ),
                )
                if decision.restart:
                    await lane.restart()
                elif decision.free:
                    await lane.free()
            case ladder.Hold(reason=reason, delay=delay):
                await self._ledger.change(job.id, lambda j: steps.hold(j, now, reason, now + delay))
            case ladder.GiveUp(reason=reason):
                await self._explain(
                    await self._ledger.change(job.id, lambda j: steps.fail(j, now, reason, failure))
                )
            case ladder.Refuse(reason=reason):
                await self._explain(
                    await self._ledger.change(job.id, lambda j: steps.reject(j, now, reason))
                )
            case ladder.Dropped(reason=reason):
                await self._ledger.change(job.id, lambda j: steps.cancel(j, now, reason.sentence))

    async def _means(self, lane: Lane, job: Job) -> ladder.Means:
        recipe = await asyncio.to_thread(self._recipes.get, job.ticket.recipe)
        stage = job.stage
        return ladder.Means(
            reliefs=recipe.reliefs(recipe.stage(stage.name), job.ticket) if stage else (),
            can_restart=lane.engine.can_restart,
            retries=self._settings.jobs.retries,
        )

    # What an earlier process left, and the world around.

    async def _recover(self) -> None:
        lanes = {lane.name: lane for lane in self._lanes}
        for job in await self._ledger.all_in(State.QUEUED, State.RUNNING, State.REVIEW):
            if job.state is State.REVIEW:
                await asyncio.to_thread(self._outbox.show_review, job, self._work(job))
            elif job.stage is None:
                await self._publish(job)
            elif (attempt := job.attempt) is not None:
                if (lane := lanes.get(attempt.engine)) is not None:
                    self._in_hand.add(job.id)
                    lane.recover(job.id)
                    continue
                gone = Failure(
                    kind="crash", message=f"The engine {attempt.engine} is not set any more."
                )
                await self._ledger.change(job.id, self._left(gone))
        await self._sweep()

    def _left(self, failure: Failure) -> Callable[[Job], Job]:
        return lambda j: steps.try_again(
            j, self._clock(), failure, j.stage.relief if j.stage else ()
        )

    async def _sweep(self) -> None:
        """Remove the work of jobs that were published just before an earlier process ended."""
        work = self._settings.work
        for folder in list(work.iterdir()) if work.is_dir() else []:
            with contextlib.suppress(NotFound):
                if (await self._ledger.get(folder.name)).state is State.DONE:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _written(self, job: Job) -> None:
        if job.state is State.QUEUED:
            self._wake()

    def _wake(self) -> None:
        for lane in self._lanes:
            lane.wake()

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

    def _pause(self) -> None:
        self._pause_for(
            Reason(
                "disk-full",
                "A disk is full, so the queue waits.",
                "Free some space; it goes on by itself.",
            )
        )

    def _pause_for(self, reason: Reason) -> None:
        if self._paused is None:
            log.warning("%s", reason, extra={"action": "paused"})
        self._paused = reason
        self._resumed.clear()

    async def _watch_disk(self) -> None:
        floor = self._settings.state.min_free_megabytes * 1_000_000
        while True:
            low = await asyncio.to_thread(
                _short_of_space, (self._settings.state.path, self._settings.outbox.path), floor
            )
            if low is not None:
                self._pause_for(low)
            elif self._paused is not None:
                self._paused = None
                self._resumed.set()
                log.info("the queue goes on", extra={"action": "resumed"})
                self._wake()
            await asyncio.sleep(DISK_SECONDS)


def _short_of_space(folders: Sequence[Path], floor: int) -> Reason | None:
    for folder in folders:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(folder).free
            if free < floor:
                return Reason(
                    "disk-full",
                    f"Only {free // 1_000_000} MB are free at {folder}, so the queue waits.",
                    f"Free some space (at least {floor // 1_000_000} MB are kept free);"
                    " it goes on by itself.",
                )
    return None
