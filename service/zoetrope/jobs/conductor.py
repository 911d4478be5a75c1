"""The conductor: takes up what is left, lets workers take jobs, and takes people's orders."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from ..dispatch.pause import OutsideHours, Standstill
from ..dispatch.queue import Queue
from ..domain import steps
from ..domain.job import ENDED, Job, State
from ..engine.flag_request import FlagRequests
from ..engine.protocol import Engine, Stats
from ..errors import IllegalTransition, NotFound, NotReadable, Reason, ZoetropeError
from ..gpu.tuner import Tuner
from ..graphs.shelf import Recipes
from ..models.hashes import Hashes
from ..places import Places
from ..settings import Settings
from ..store.protocol import JobStore
from ..store.retry import until_answered
from . import duplicates, host_memory, owed, recovery, work_note
from .absence import Absence
from .engine_kills import EngineKills
from .lint_gate import LintGate
from .memory_budget import HostMemory
from .memory_gate import MemoryGate
from .outages import Outages
from .outbox import Outbox
from .outbox_watch import OutboxWatch
from .pause import Pauses
from .progress import Live
from .publisher import Publisher
from .recognition import recognise
from .room import Room
from .settlement import Settlement
from .stage_run import StageRun
from .strays import Strays
from .worker import EngineWorker, WorkerStatus


class ConductorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the conductor is doing; `waiting` says what keeps single jobs, by their ids."""

    paused: Reason | None  # the disk's matter
    standstill: Standstill | None  # a user's, or that of the working hours
    outside_hours: OutsideHours | None = None  # stages start although the hours say otherwise
    workers: tuple[WorkerStatus, ...]
    waiting: Mapping[str, Reason] = {}
    outbox: Reason | None = None  # why no video can be put there now


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
        withdraw: Callable[[Job], Awaitable[None]],
        give_back: Callable[[Job], Awaitable[None]],
        take_back: Callable[[Job], Awaitable[None]],
        tell: Callable[[str, Live], None],
        hashes: Hashes,
        places: Places | None = None,
        tuner: Tuner | None = None,
        outages: Outages | None = None,
        flag_requests: FlagRequests | None = None,
        memory: Callable[[str], HostMemory | None] = host_memory.read,
        kills: EngineKills | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._recipes = recipes
        self._tell = tell
        self._take_back = take_back
        self._hashes = hashes
        self._places = places or Places.of_host()
        self._tuner = tuner
        self._gate = LintGate(settings)
        kills = kills or EngineKills(settings.engines, clock=clock)
        self._memory = MemoryGate(
            settings, note=kills.note, free_others=self._free_others, memory=memory
        )
        self._clock = clock
        self._queue = Queue(
            ledger,
            paused=lambda: self._room.short is not None or self._stands_still(),
            clock=clock,
        )
        self._pauses = Pauses(
            settings.pause_file,
            settings.jobs.working_hours,
            self._queue.offer,
            clock=clock,
        )
        self._room = Room(settings, self._queue.offer)
        self._outbox = outbox
        self._outbox_watch = OutboxWatch(outbox)
        self._publisher = Publisher(
            outbox,
            ledger=ledger,
            recipes=recipes,
            work=settings.work,
            hashes=hashes,
            clock=clock,
            withdraw=withdraw,
            give_back=give_back,
        )
        self._settlement = Settlement(
            ledger=ledger,
            recipes=recipes,
            outbox=outbox,
            publisher=self._publisher,
            room=self._room,
            work=settings.work,
            retries=settings.jobs.retries,
            tuner=tuner,
            flag_requests=flag_requests or FlagRequests(settings.engines, settings.flag_requests),
            kills=kills,
            clock=clock,
        )
        self._absence = Absence(
            ledger,
            workers=lambda: self._queue.workers,
            move_seconds=60 * settings.jobs.move_minutes,
            clock=clock,
        )
        outages = outages or Outages()
        self._workers = [
            EngineWorker(
                engine,
                self._queue,
                make_run=self._stage_run,
                settlement=self._settlement,
                standstill=self._stands_still,
                free_after=60 * settings.jobs.free_after_minutes or None,
                absence=self._absence,
                strays=Strays(engine, ledger),
                stuck_seconds=60 * settings.jobs.stuck_minutes,
                outages=outages,
                clock=clock,
            )
            for engine in engines
        ]
        ledger.on_change(lambda _, job: self._written(job))

    async def run(self) -> None:
        """Take up what an earlier process left, then work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._room.run())
                group.create_task(self._outbox_watch.run())
                group.create_task(self._publisher.run())
                group.create_task(self._pauses.run())
                await self._recover(group)
                for worker in self._workers:
                    group.create_task(worker.run())
        finally:
            await asyncio.gather(*(worker.stop() for worker in self._workers))
            self._queue.close()

    def status(self) -> ConductorStatus:
        """Say what is going on."""
        return ConductorStatus(
            paused=self._room.short,
            standstill=self._pauses.standstill(),
            outside_hours=self._pauses.outside_hours(),
            outbox=self._outbox_watch.problem,
            workers=tuple(worker.status() for worker in self._workers),
            waiting={
                **self._queue.too_large,
                **self._absence.waiting,
                **self._settlement.waiting,
                **self._publisher.waiting,
            },
        )

    def live(self, job_id: str) -> Live | None:
        """Say how far a job's running stage is."""
        return next((live for each in self._workers if (live := each.live(job_id))), None)

    async def approve(self, job_id: str) -> Job:
        """A person likes what the review shows."""
        job = await self._ledger.change(job_id, lambda j: steps.approve(j, self._clock()))
        await self._publisher.reconcile(job_id)
        return job

    async def decline(self, job_id: str, why: str = "") -> Job:
        """A person does not like what the review shows."""
        await self._owe(job_id)
        job = await self._ledger.change(job_id, lambda j: steps.decline(j, self._clock(), why))
        await self._note(job)
        await self._publisher.reconcile(job_id)
        return job

    async def cancel(self, job_id: str, why: str = "") -> Job:
        """A user cancels a job; the engine is told at once, or as soon as it answers."""
        await self._owe(job_id)
        job = await self._ledger.change(job_id, lambda j: steps.cancel(j, self._clock(), why))
        await self._note(job)
        await self._publisher.reconcile(job_id)
        if (attempt := steps.cancelled_attempt(job)) is not None:
            for worker in self._workers:
                if worker.name == attempt.engine:
                    # One that cannot be told now is told by the run that follows the prompt.
                    with contextlib.suppress(ZoetropeError):
                        await worker.engine.withdraw(attempt.prompt_id)
        return job

    async def retry(self, job_id: str) -> Job:
        """A person wants a failed or cancelled job tried again."""
        await self._need_only_one(await self._ledger.get(job_id))
        job = await self._ledger.change(job_id, lambda j: steps.retry(j, self._clock()))
        await self._note(job)
        with contextlib.suppress(OSError):
            await self._take_back(job)
        if job.state is State.REVIEW or job.stage is None:
            await self._publisher.reconcile(job_id)
            job = await self._ledger.get(job_id)
        return job

    async def _owe(self, job_id: str) -> None:
        """A user is about to end a job, whose picture is to be given back then."""
        if (await self._ledger.get(job_id)).state not in ENDED:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(owed.owe, self._settings.work / job_id)

    async def _note(self, job: Job) -> None:
        """Have the work itself say what a user decided, should the ledger be lost; it may be gone already."""
        with contextlib.suppress(OSError, NotReadable):
            await asyncio.to_thread(work_note.keep, self._settings.work / job.id, job)

    async def _need_only_one(self, job: Job) -> None:
        """Raise where the same picture with the same ticket became another job: its video is not made twice unasked."""
        # Another video of a picture that a user has asked for, by `again` or in the settings, is no mistake.
        if self._settings.inbox.duplicates != "skip" or job.parent:
            return
        earlier = await duplicates.find(self._ledger, job.fingerprint, self._outbox.lacks_video)
        if earlier is None or earlier.gone or earlier.job.id == job.id or earlier.job.parent:
            return
        other = earlier.job
        raise IllegalTransition(
            f"The same picture with the same ticket is job {other.short} by now, which is {other.state}.",
            f"Use that one; for a video with another seed: zoetrope again {job.short}.",
            key="duplicate",
        )

    async def pause(self, seconds: float | None = None, *, now: bool = False) -> None:
        """A user wants the GPU: no stage starts until it is resumed or the time is over.

        What runs goes on to the end of its stage, unless it is to stop now; its stage then begins anew.
        """
        await self._pauses.begin(seconds)
        for worker in self._workers:
            await worker.step_aside(running=now)

    async def resume(self, *, now: bool = False) -> None:
        """A user ends the pause; with `now`, stages start until the working hours begin the next time, too."""
        await self._pauses.end(now=now)

    def _stands_still(self) -> bool:
        return self._pauses.standstill() is not None

    def tidy(self, job_id: str) -> None:
        """Have what stands in the outbox agree with a job's state, soon."""
        self._publisher.schedule(job_id)

    def _stage_run(
        self, job_id: str, engine: Engine, stats: Stats, *, recovering: bool
    ) -> StageRun:
        return StageRun(
            job_id,
            engine,
            ledger=self._ledger,
            recipes=self._recipes,
            work=self._settings.work,
            stats=stats,
            patience=self._settings.jobs.patience_seconds,
            recovering=recovering,
            standstill=self._stands_still,
            embed_graph=self._settings.outbox.embed_graph,
            clock=self._clock,
            tell=self._tell,
            gate=self._gate,
            memory=self._memory,
            hashes=self._hashes,
            places=self._places,
            tuner=self._tuner,
        )

    async def _free_others(self, engine: str) -> None:
        """Have the idle engines of this host give up what they keep for their next job: another one needs it now."""
        for worker in self._workers:
            status = worker.status()
            idle = status.up and not status.in_hand and not status.others
            if worker.name != engine and worker.engine.here and idle:
                with contextlib.suppress(ZoetropeError):
                    await worker.engine.free()

    async def _recover(self, group: asyncio.TaskGroup) -> None:
        """Take up every job where it stands; what is wrong with one of them keeps no other."""
        workers = {worker.name: worker for worker in self._workers}
        states = (State.QUEUED, State.RUNNING, State.REVIEW, State.WAITING)
        under_way = await until_answered(lambda: self._ledger.all_in(*states))
        group.create_task(recovery.note(self._settings.work, under_way))
        found = [job for job in under_way if job.state is not State.WAITING]
        done = await recognise(self._ledger, self._settings.outbox.path, found, self._clock)
        for job in found:
            if job.id in done:
                continue
            if job.state is State.REVIEW or job.stage is None:
                self._publisher.schedule(job.id)
            elif (attempt := job.attempt) is not None:
                if (worker := workers.get(attempt.engine)) is not None:
                    worker.recover(job.id)
                else:
                    group.create_task(self._move(job, attempt.engine))
        await self._give_back()
        with contextlib.suppress(OSError):
            # In this order: work that is put aside meanwhile is seen at one of the two places.
            places = (self._settings.work, self._settings.lost)
            await recovery.sweep(self._ledger, self._recipes, *places)

    async def _give_back(self) -> None:
        """Have the pictures given back that an earlier process could not give back, or was killed before."""
        with contextlib.suppress(OSError):
            for job_id in await asyncio.to_thread(owed.owing, self._settings.work):
                with contextlib.suppress(NotFound, NotReadable):
                    if (await self._ledger.get(job_id)).state in ENDED:
                        self._publisher.schedule(job_id)

    async def _move(self, job: Job, engine: str) -> None:
        lease = self._queue.adopt(job.id, engine)
        try:
            await recovery.move(self._ledger, job, engine, self._clock)
        finally:
            self._queue.give_back(lease)

    def _written(self, job: Job) -> None:
        if job.reason is None or job.state in ENDED:
            self._settlement.over(job)
            self._queue.forget(job.id)
        if job.state is State.QUEUED:
            self._queue.offer()
