"""The publisher: brings finished videos and clips to review into the outbox, each job by itself.

What keeps one job out of the outbox (a folder that cannot be written, a recipe that is gone) keeps no
other one: that job waits, says why, and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from ..domain import steps
from ..domain.job import ENDED, Job, State
from ..domain.plan import Plan
from ..errors import (
    DiskFull,
    IllegalTransition,
    LedgerError,
    NotFound,
    NotReadable,
    Reason,
    RecipeError,
    Rejected,
    ZoetropeError,
)
from ..graphs.recipe import Recipe
from ..graphs.shelf import Recipes
from ..host import trouble
from ..models.hashes import Hashes
from ..store.protocol import Journal
from . import receipt
from .environment import hashed
from .outbox import Outbox
from .stage_request import outdated_stages, planned
from .work import WorkFolders

log = logging.getLogger("zoetrope.jobs")

FIRST_PAUSE = 5.0  # between the tries of one job
LONGEST_PAUSE = 15.0


class _Pending(msgspec.Struct):
    """A job that is not in the outbox as its state asks for; without a reason, nothing was tried yet."""

    reason: Reason | None = None
    due: float = 0.0
    pause: float = 0.0


class Publisher:
    """Brings what each job's state asks for into the outbox, and retries until it is there."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        ledger: Journal,
        recipes: Recipes,
        work: Path,
        hashes: Hashes,
        clock: Callable[[], float],
        withdraw: Callable[[Job], Awaitable[None]],
        give_back: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._recipes = recipes
        self._work = work
        self._hashes = hashes
        self._withdraw = withdraw  # what an earlier failure of a job told people
        self._give_back = give_back  # the picture of a job that ended without a video
        self._folders = WorkFolders(work)
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        # One at a time for each job; a lock lives as long as somebody holds it or waits for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> Mapping[str, Reason]:
        """The jobs that could not be brought into the outbox yet, and why."""
        return {
            job_id: pending.reason for job_id, pending in self._pending.items() if pending.reason
        }

    def schedule(self, job_id: str) -> None:
        """Have a job reconciled soon."""
        self._pending.setdefault(job_id, _Pending())
        self._wake.set()

    async def run(self) -> None:
        """Try again what could not be done, until cancelled."""
        while True:
            self._wake.clear()
            now = time.monotonic()
            for job_id in [each for each, pending in self._pending.items() if pending.due <= now]:
                await self.reconcile(job_id)
            due = min((pending.due for pending in self._pending.values()), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else due - time.monotonic()):
                    await self._wake.wait()

    async def reconcile(self, job_id: str) -> None:
        """Do what the job's state asks of the outbox; a problem is reported and retried."""
        async with self._turns.setdefault(job_id, asyncio.Lock()):
            try:
                await self._do(await self._ledger.get(job_id))
            except NotFound:
                self._pending.pop(job_id, None)
            except IllegalTransition:
                # A user's decision came between: the state is another one now.
                self.schedule(job_id)
            except Exception as error:  # a mistake of ours must keep this job alone
                await self._note_problem(job_id, error)
            else:
                known = self._pending.pop(job_id, None)
                if known is not None and known.reason is not None:
                    log.info("it goes on", extra={"job": job_id[:8], "action": "outbox-goes-on"})

    async def _do(self, job: Job) -> None:
        if job.state is State.RUNNING and job.stage is None:
            await self._publish(job)
        elif job.state is State.REVIEW:
            await self._show(job)
        else:
            await asyncio.to_thread(self._outbox.clear_review, job, self._work / job.id)
            await self._give_back(job)
            if job.unreturned is not None:
                await self._ledger.change(job.id, lambda j: steps.give_back(j, None))

    async def _publish(self, job: Job) -> None:
        plan = job.plan
        others: tuple[str, ...] = ()
        if plan is None:  # a job of an older zoetrope
            recipe = await self._recipes.of(job)
            plan, others = await asyncio.to_thread(_plan, recipe, job)
        now = self._clock()
        files = await self._recipe_files(job)
        whole = await hashed(self._hashes, job)
        paper = receipt.encode(receipt.write(whole, plan, now, others, files))
        work = self._work / job.id
        name = await asyncio.to_thread(self._outbox.publish, job, work, paper)
        await self._withdraw(job)
        made = [artefact.sha256 for stage in job.stages for artefact in stage.artefacts]
        await self._ledger.publish(job.id, lambda j: steps.publish(j, now, name), made)
        # What cannot be removed now, retention removes later.
        with contextlib.suppress(OSError, NotReadable):
            await asyncio.to_thread(self._folders.remove, job.id)
        log.info("done: %s", name, extra={"job": job.short, "action": "done"})

    async def _recipe_files(self, job: Job) -> dict[str, str]:
        """Give the files of the recipe that a job was accepted with; a lost version keeps no video back."""
        with contextlib.suppress(RecipeError, UnicodeDecodeError):
            if job.recipe_version:
                recipe = await self._recipes.of(job)
                return {name: content.decode() for name, content in recipe.files.items()}
        return {}

    async def _show(self, job: Job) -> None:
        await asyncio.to_thread(self._outbox.show_review, job, self._work / job.id)
        # A service that ended while it waited left the reason in the ledger.
        if job.reason is not None:
            await self._ledger.change(job.id, lambda j: steps.wait(j, self._clock(), None))

    async def _note_problem(self, job_id: str, error: Exception) -> None:
        job: Job | None = None
        with contextlib.suppress(ZoetropeError):
            job = await self._ledger.get(job_id)
        if (reason := reason_of(error, job)) is None:
            said = f"Publishing it to the outbox failed: {type(error).__name__}: {error}."
            reason = Reason("internal", said, "Please report this; it is tried again.")
        known = self._pending.get(job_id)
        if known is None or known.reason is None or known.reason.key != reason.key:
            about = {"job": job_id[:8], "action": reason.key}
            log.error("it waits: %s", reason, extra=about, exc_info=reason.key == "internal")
        self._postpone(job_id, reason)
        # Where the ledger itself is the trouble, the reason is reported by the status alone.
        with contextlib.suppress(ZoetropeError):
            await self._ledger.change(job_id, lambda j: self._kept(j, reason))

    def _kept(self, job: Job, reason: Reason) -> Job:
        """Say on a job what keeps it: one that has ended from giving its picture back."""
        if job.state in ENDED:
            return steps.give_back(job, reason)
        return steps.wait(job, self._clock(), reason)

    def _postpone(self, job_id: str, reason: Reason) -> None:
        known = self._pending.get(job_id)
        pause = min(known.pause * 2, LONGEST_PAUSE) if known and known.pause else FIRST_PAUSE
        self._pending[job_id] = _Pending(reason, time.monotonic() + pause, pause)
        self._wake.set()


def reason_of(error: Exception, job: Job | None) -> Reason | None:
    """Say what an error means that is neither the job's nor a mistake of ours; None for any other."""
    if isinstance(error, RecipeError | LedgerError | DiskFull | NotReadable):
        return way_out(job, error.reason)
    if isinstance(error, Rejected) and error.reason.key == "recipe-unknown":
        sentence = error.reason.sentence
        full = sentence if sentence.endswith((".", "?")) else f"{sentence}."
        return Reason(
            error.reason.key,
            f"{full} The job was accepted with it.",
            "Put the recipe's folder back under that name; it goes on by itself.",
        )
    reason = trouble(error)
    return reason and way_out(job, reason)


def way_out(job: Job | None, reason: Reason) -> Reason:
    """Say besides what to do when it cannot be as it was: a lost work file, a recipe that was changed for good."""
    if job is None:
        return reason
    anew = f"or make the video anew: zoetrope again {job.short}."
    if reason.key == "recipe" and not reason.next_step:
        step = f"Put the recipe back as it was, and it goes on by itself; {anew}"
    elif reason.key == "missing" and job.id in reason.sentence:
        if any(f"/{each.source} " in reason.sentence for each in job.images):
            # A video is made anew from the picture itself.
            anew = f"or give it up (zoetrope cancel {job.short}) and drop the picture again."
        step = f"Put it back, and it goes on by itself; {anew}"
    else:
        return reason
    return Reason(reason.key, reason.sentence, step)


def _plan(recipe: Recipe, job: Job) -> tuple[Plan | None, tuple[str, ...]]:
    """Make the plan anew, if the recipe still gives what was made; else name the stages it does not."""
    if others := outdated_stages(recipe, job):
        return None, others
    try:
        return planned(recipe, job), ()
    except Rejected:
        return None, tuple(stage.name for stage in job.stages)
