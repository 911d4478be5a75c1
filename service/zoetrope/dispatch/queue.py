"""The queue: waiting jobs are offered, leased to workers, extended while they work, and returned."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from ..domain.query import Waiting
from ..errors import Reason, ZoetropeError
from ..store.protocol import JobIndex
from .policy import Assign, Worker, choose, too_large

log = logging.getLogger("zoetrope.dispatch")

LEASE_SECONDS = 60.0
FIRST_PAGE = 4  # the first in line is nearly always the one
LARGEST_PAGE = 256
SHORTEST_TIMER = 0.05
LONGEST_TIMER = 60.0  # a clock may be set meanwhile, and says something else then


class LeaseLost(ZoetropeError):
    """A lease ran out, and the job may be in other hands."""

    key = "lease-lost"


class Lease(msgspec.Struct, frozen=True):
    """A job in a worker's hands: no other worker gets it until it is returned or the lease runs out."""

    number: int
    job: str
    worker: str
    reason: str


class _Held(msgspec.Struct):
    lease: Lease
    until: float
    at_engine: bool = True  # its prompt is at the engine, or on its way there


class Queue:
    """The store's waiting jobs, given to workers by the policy; what is leased is known here alone."""

    def __init__(
        self,
        jobs: JobIndex,
        *,
        paused: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._paused = paused
        self._clock = clock
        self._monotonic = monotonic
        self._workers: dict[str, Worker] = {}
        self._held: dict[str, _Held] = {}
        self._too_large: dict[str, Waiting] = {}
        self._listeners: list[Callable[[], None]] = []
        self._choosing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._leases = 0

    @property
    def too_large(self) -> Mapping[str, Reason]:
        """The jobs, by their ids, for which no worker's GPU has the memory, and what to do."""
        # Worked out anew: an engine that came since may have a GPU that is large enough.
        known = too_large(tuple(self._too_large.values()), self.workers)
        return {job.id: _reason(job) for job in known}

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers, as they reported themselves."""
        return tuple(self._workers.values())

    def on_offer(self, listener: Callable[[], None]) -> None:
        """Have a function called whenever there may be something to lease."""
        self._listeners.append(listener)

    def offer(self) -> None:
        """Have every worker look: a job waits, or a worker may take one now."""
        for listener in self._listeners:
            listener()

    def report(self, worker: Worker) -> None:
        """Take down how a worker is; what its engine holds is known from its leases."""
        if self._workers.get(worker.name) != worker:
            self._workers[worker.name] = worker
            self.offer()

    def forget(self, job_id: str) -> None:
        """Drop what is remembered of a job that needs no engine any more."""
        self._too_large.pop(job_id, None)

    async def lease(self, name: str) -> Lease | None:
        """Give a worker the job that the policy has for it now, or nothing."""
        async with self._choosing:
            self._drop_expired()
            workers = {worker.name: self._loaded(worker) for worker in self._workers.values()}
            if self._paused() or name not in workers or not workers[name].has_room:
                return None
            size, after = FIRST_PAGE, None
            while True:
                page = await self._jobs.waiting(self._clock(), size, after=after)
                if (found := self._chosen(page, workers, name)) is not None:
                    self._too_large.pop(found.job, None)
                    return self._lease(found.job, name, found.reason)
                if len(page) < size:
                    await self._set_timer()
                    return None
                after, size = page[-1], min(4 * size, LARGEST_PAGE)

    def adopt(self, job_id: str, name: str) -> Lease:
        """Lease a job to the worker whose engine got it from an earlier process."""
        return self._lease(job_id, name, "an earlier process gave it to this engine")

    def extend(self, lease: Lease) -> None:
        """Keep a job for as long again, also after it ran out; LeaseLost if it is in other hands."""
        held = self._held.setdefault(lease.job, _Held(lease, 0.0))
        if held.lease != lease:
            raise LeaseLost(f"The lease of job {lease.job[:8]} by {lease.worker} ran out.")
        held.until = self._monotonic() + LEASE_SECONDS

    def engine_is_done(self, lease: Lease) -> None:
        """Let the worker take another job: the engine is done with this one, the worker not yet."""
        held = self._held.get(lease.job)
        if held is not None and held.lease == lease and held.at_engine:
            held.at_engine = False
            self.offer()

    def give_back(self, lease: Lease) -> None:
        """Return a job: whether it still waits is for the store to say."""
        held = self._held.get(lease.job)
        if held is not None and held.lease == lease:
            del self._held[lease.job]
        self.offer()

    def close(self) -> None:
        """Stop waking workers."""
        self._listeners.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _chosen(
        self, page: tuple[Waiting, ...], workers: dict[str, Worker], name: str
    ) -> Assign | None:
        waiting = [job for job in page if job.id not in self._held]
        for job in too_large(waiting, tuple(workers.values())):
            self._too_large[job.id] = job
        while waiting and workers[name].has_room:
            decision = choose(waiting, tuple(workers.values()), self._clock())
            if not isinstance(decision, Assign):
                return None
            if decision.worker == name:
                return decision
            # Another worker's: it was woken by the same offer, and finds the same.
            waiting = [job for job in waiting if job.id != decision.job]
            other = workers[decision.worker]
            workers[other.name] = msgspec.structs.replace(other, held=other.held + 1)
        return None

    def _lease(self, job_id: str, name: str, reason: str) -> Lease:
        self._leases += 1
        lease = Lease(self._leases, job_id, name, reason)
        self._held[job_id] = _Held(lease, self._monotonic() + LEASE_SECONDS)
        log.debug("leased to %s: %s", name, reason, extra={"job": job_id[:8], "action": "lease"})
        return lease

    def _loaded(self, worker: Worker) -> Worker:
        leases = (held for held in self._held.values() if held.at_engine)
        held = sum(1 for each in leases if each.lease.worker == worker.name)
        return msgspec.structs.replace(worker, held=held)

    def _drop_expired(self) -> None:
        now = self._monotonic()
        for job_id, held in list(self._held.items()):
            if held.until < now:
                del self._held[job_id]
                log.warning(
                    "%s did not extend its lease: the job is offered again",
                    held.lease.worker,
                    extra={"job": job_id[:8], "action": "lease-expired"},
                )

    async def _set_timer(self) -> None:
        soonest = await self._jobs.soonest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if soonest is not None:
            delay = min(max(SHORTEST_TIMER, soonest - self._clock()), LONGEST_TIMER)
            self._timer = asyncio.get_running_loop().call_later(delay, self.offer)


def _reason(job: Waiting) -> Reason:
    return Reason(
        "gpu-too-small",
        f"Its plan is made for a GPU with {job.memory} GB, on which its first stage ran, and no"
        " engine has one now.",
        "Start that engine again; or cancel the job and drop its picture anew.",
    )
