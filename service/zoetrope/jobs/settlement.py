"""The settlement of a stage run: how it ended is written down, and what follows is decided."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ..domain import steps
from ..domain.job import ENDED, Attempt, Job, State
from ..domain.values import Failure
from ..engine.flag_request import Asked, FlagRequests, line
from ..errors import (
    IllegalTransition,
    NotGiven,
    NotReadable,
    Reason,
    RecipeError,
    Rejected,
    is_disk_full,
)
from ..gpu.tuner import Tuner
from ..graphs.shelf import Recipes
from ..store.protocol import JobStore
from ..verify.check import CheckerDown
from .engine_disk import disk_reason, folder_of
from .engine_kills import EngineKills
from .fallbacks import (
    BYSTANDER,
    FLAGS,
    FREE,
    HOST_MEMORY,
    KILLED,
    RESTART,
    Again,
    Blocked,
    GiveUp,
    Hold,
    Means,
    Refuse,
    decide,
)
from .hand_over import NotSent
from .outbox import Outbox
from .outcome import Failed, Obsolete, Outcome, Postponed, Succeeded
from .owed import owe
from .publisher import Publisher, reason_of, way_out
from .room import Room
from .stage_request import planned, size_key

log = logging.getLogger("zoetrope.jobs")

# Between tries while something is wrong that is not the job's: a broken recipe, a missing checker.
HOST_SECONDS = 5.0
LONGEST_WAIT = 15.0


class At(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage run ended: the engine, its GPU, and what can be done with its process."""

    engine: str
    device: str
    can_restart: bool
    maybe_broken_before: bool  # an earlier job may have broken its process
    home: Path | None = None  # where it keeps its files, as far as that is known


class After(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker does next: begin the run anew or not, and what its engine needs before."""

    again: bool = False
    free: bool = False
    replace: Failure | None = None  # why its process is of no use any more
    attempt: Attempt | None = None  # in which that was seen
    blocked: Failure | None = None  # no job can go on there for now


class _Wait(msgspec.Struct, frozen=True):
    """What keeps a job that is not at its fault, and how long it waits between two tries."""

    reason: Reason
    pause: float
    is_tried: bool = False  # an attempt is on its way to the engine, and may meet the same again


class Settlement:
    """Writes down how stage runs ended; what is the host's trouble keeps a job, and never fails it."""

    def __init__(
        self,
        *,
        ledger: JobStore,
        recipes: Recipes,
        outbox: Outbox,
        publisher: Publisher,
        room: Room,
        work: Path,
        retries: int,
        tuner: Tuner | None,
        flag_requests: FlagRequests,
        kills: EngineKills,
        clock: Callable[[], float],
    ) -> None:
        self._flag_requests = flag_requests
        self._kills = kills
        self._ledger = ledger
        self._recipes = recipes
        self._outbox = outbox
        self._publisher = publisher
        self._room = room
        self._work = work
        self._retries = retries
        self._tuner = tuner
        self._clock = clock
        self._waits: dict[str, _Wait] = {}

    @property
    def waiting(self) -> Mapping[str, Reason]:
        """The jobs that something of the host's keeps, by their ids."""
        return {job_id: wait.reason for job_id, wait in self._waits.items() if not wait.is_tried}

    async def settle(self, at: At, job_id: str, ended: Outcome | Exception) -> After:
        """Write down how a stage run ended, and say what its worker does next."""
        if isinstance(ended, Exception):
            return After(again=await self._troubled(job_id, ended))
        job = await self._ledger.get(job_id)
        if isinstance(ended, Obsolete) or job.state in ENDED:
            return After()
        if isinstance(ended, Postponed):
            if job.attempt is not None:
                now = self._clock()
                await self._ledger.change(job_id, lambda j: steps.postpone(j, now))
            return After()
        if isinstance(ended, Failed):
            return await self._failed(at, job, ended)
        if job.attempt is not None:
            job = await self._arrived(at, job, ended)
        self.over(job)
        # Apart from the step above: what keeps it out of the outbox is waited for there.
        if job.stage is None or job.state is State.REVIEW:
            await self._publisher.reconcile(job_id)
        return After()

    def over(self, job: Job) -> None:
        """Forget what kept a job; an attempt that has not begun may yet meet the same."""
        wait, attempt = self._waits.get(job.id), job.attempt
        if wait is None:
            return
        if job.state is State.QUEUED and attempt is not None and attempt.started is None:
            self._waits[job.id] = msgspec.structs.replace(wait, is_tried=True)
            return
        del self._waits[job.id]
        if job.state not in ENDED:
            log.info("it goes on", extra={"job": job.short, "action": "goes-on"})

    async def _troubled(self, job_id: str, error: Exception) -> bool:
        """Deal with an error that stopped a run: wait, reject, or fail the job with a reason; true to begin anew."""
        if is_disk_full(error):
            self._room.used_up()
            await self._room.wait()
            return True
        job = await self._ledger.get(job_id)
        if isinstance(error, IllegalTransition) and job.state in ENDED:
            # Cancelled between two of our steps: begun anew, the run takes the prompt back.
            return True
        if isinstance(error, NotSent | NotGiven | CheckerDown):
            unsent = isinstance(error, NotSent)
            return await self._wait(job, way_out(job, error.reason), unsent=unsent)
        if (reason := reason_of(error, job)) is not None:
            return await self._wait(job, reason)
        now = self._clock()
        if isinstance(error, Rejected):
            refused = error.reason
            await self._end(job_id, lambda j: steps.reject(j, now, refused))
        else:
            about = {"job": job_id[:8], "action": "internal-error"}
            log.error("stage run failed", extra=about, exc_info=error)
            internal = Reason(
                "internal",
                f"Unexpected error: {type(error).__name__}: {error}.",
                "This is a fault of the service: see its log, then retry the job.",
            )
            await self._end(job_id, lambda j: steps.fail(j, now, internal))
        return False

    async def _end(self, job_id: str, step: Callable[[Job], Job]) -> None:
        """End a job without a video, and have its picture given back; a share that is away gets it later."""
        # Without the mark it is given back all the same, unless the service is killed before.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(owe, self._work / job_id)
        job = await self._ledger.change(job_id, step)
        log.warning("%s", job.reason, extra={"job": job.short, "action": str(job.state)})
        await self._publisher.reconcile(job_id)

    async def _wait(self, job: Job, reason: Reason, *, unsent: bool = False) -> bool:
        """Keep a job where it stands until what is not its fault is over; true if its run goes on."""
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
            self._publisher.schedule(job.id)
            return False
        # What the engine makes, or has made, is kept.
        await self._ledger.change(job.id, lambda j: steps.wait(j, now, reason))
        await asyncio.sleep(pause)
        return True

    async def _arrived(self, at: At, job: Job, ended: Succeeded) -> Job:
        stage, attempt = job.stage, job.attempt
        assert stage is not None
        assert attempt is not None
        now = self._clock()

        def finish(before: Job) -> Job:
            return steps.finish_stage(
                before,
                now,
                ended.artefacts,
                handoff=ended.handoff,
                verdicts=ended.verdicts,
                poster=ended.poster,
            )

        after = finish(job)
        if after.state is State.REVIEW:
            # Shown before it is asked for, so that whoever hears of the review finds it there. The
            # review can be answered on the page as well: a closed outbox does not hold it back.
            with contextlib.suppress(OSError, NotReadable):
                await asyncio.to_thread(self._outbox.show_review, after, self._work / job.id)
        job = await self._ledger.change(job.id, finish)
        if self._tuner is not None:
            await self._tuner.sound(attempt.gpu)
        # What was asked of the engine's start is remembered there, for all that it runs.
        lasting = tuple(each for each in attempt.fallbacks if each not in (FREE, RESTART, *FLAGS))
        if lasting:
            # Only a memory for later jobs: a recipe that was broken meanwhile leaves none.
            with contextlib.suppress(RecipeError, Rejected):
                recipe = await self._recipes.of(job)
                size = size_key(planned(recipe, job))
                await self._ledger.remember_fallbacks(
                    recipe.name, stage.name, size, at.device, lasting
                )
        log.info("stage %s finished", stage.name, extra={"job": job.short, "action": "stage-done"})
        return job

    async def _failed(self, at: At, job: Job, ended: Failed) -> After:
        failure, now = ended.failure, self._clock()
        # An earlier job may have broken this process's CUDA context: that counts for no job after it.
        not_its_fault = failure.kind == "cuda" and at.maybe_broken_before
        if not_its_fault:
            failure = msgspec.structs.replace(failure, kind=BYSTANDER)
        failure = await self._cause(at, job, failure)
        if self._tuner is not None and job.attempt is not None:
            usage, message = job.attempt.gpu, failure.message
            await self._tuner.failed(at.engine, usage, failure.kind, failure.looks, message)
        stage = steps.with_failure(job, now, failure)
        means = await self._means(at, job, failure)
        decision = decide(failure, stage, means)
        if isinstance(decision, Again) and decision.ask:
            try:
                await self._ask(at.engine, decision.ask, job, failure)
            except OSError as error:
                about = {"action": "flag-request-failed", "engine": at.engine}
                log.warning(
                    "%s cannot be asked for another flag: %s", at.engine, error, extra=about
                )
                decision = decide(failure, stage, msgspec.structs.replace(means, flags=()))
        log.warning(
            "%s (%s)",
            failure.message,
            type(decision).__name__.lower(),
            extra={"job": job.short, "action": "stage-failed", "kind": failure.kind},
        )
        match decision:
            case Again(fallbacks=fallbacks, delay=delay):
                due = now + delay if delay else 0.0
                await self._ledger.change(
                    job.id, lambda j: steps.try_again(j, now, failure, fallbacks, due)
                )
                if decision.restart or not_its_fault:
                    return After(replace=ended.failure, attempt=job.attempt)
                return After(free=decision.free)
            case Blocked():
                why = disk_reason(failure, at.engine, folder_of(failure) or at.home)
                await self._ledger.change(job.id, lambda j: steps.set_aside(j, now, failure, why))
                return After(blocked=failure)
            case Hold(reason=reason, delay=delay):
                await self._ledger.change(job.id, lambda j: steps.hold(j, now, reason, now + delay))
            case GiveUp(reason=reason):
                await self._end(job.id, lambda j: steps.fail(j, now, reason, failure))
                if decision.restart:
                    return After(replace=failure, attempt=job.attempt)
            case Refuse(reason=reason):
                await self._end(job.id, lambda j: steps.reject(j, now, reason))
        return After()

    async def _cause(self, at: At, job: Job, failure: Failure) -> Failure:
        """Say of an engine that died what killed it, where the host knows: no clock profile is at fault then."""
        began = job.attempt.started if job.attempt is not None else None
        if failure.kind != "crash" or began is None:
            return failure
        if not await asyncio.to_thread(self._kills.since, at.engine, began):
            return failure
        return msgspec.structs.replace(
            failure,
            kind=KILLED,
            message="The kernel killed ComfyUI while it worked on this: the host's memory ran out.",
        )

    async def _ask(self, engine: str, fallback: str, job: Job, failure: Failure) -> None:
        """Ask for the flag of a fallback; the engine has it from its next start on."""
        stage = job.stage.name if job.stage is not None else ""
        reason = line(f"job {job.short}, stage {stage}: {failure.message}")
        asked = Asked(by="fallback", words=(FLAGS[fallback],), reason=reason)
        await asyncio.to_thread(self._flag_requests.ask, engine, asked)
        log.warning(
            "%s is restarted with %s, which is remembered",
            engine,
            FLAGS[fallback],
            extra={"job": job.short, "action": "flag-asked", "engine": engine},
        )

    async def _means(self, at: At, job: Job, failure: Failure) -> Means:
        recipe = await self._recipes.of(job)
        stage = job.stage
        flags: tuple[str, ...] | None = None
        if failure.kind in HOST_MEMORY and at.can_restart and self._flag_requests.has(at.engine):
            flags = await asyncio.to_thread(self._open_flags, at.engine)
        return Means(
            offered=recipe.fallback_names(recipe.stage(stage.name), job.ticket) if stage else (),
            can_restart=at.can_restart,
            retries=self._retries,
            flags=flags,
        )

    def _open_flags(self, engine: str) -> tuple[str, ...]:
        may_ask = self._flag_requests.may_ask
        return tuple(name for name, flag in FLAGS.items() if may_ask(engine, flag))
