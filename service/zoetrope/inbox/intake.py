"""The intake: takes complete pictures from the watcher through to the ledger, and loses none on the way."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..domain.job import Job, State
from ..errors import Reason, Rejected, ZoetropeError
from ..graphs.shelf import Recipes
from ..host import shown
from ..jobs.lost_work import LostWork
from ..jobs.outbox import Outbox
from ..jobs.outbox_identity import OutboxAway, OutboxIdentity
from ..logs import log_failure
from ..settings import Settings
from ..store.protocol import JobStore
from . import folder_ticket, source
from .admission import Admission, LookAgain
from .claim import Claim, Claims
from .gather import Drop
from .job_input import from_claim, read_defaults, read_values
from .leftovers import ITS_OWN, Leftovers
from .lone_tickets import late
from .readmission import Readmission
from .retries import RETRY_SECONDS, Retries
from .source_image import Decoder
from .status import Held, IntakeStatus
from .submissions import Submissions, no_turn
from .trouble import closed_alone, find_room
from .watcher import Watcher
from .whereabouts import Whereabouts, away, find

log = logging.getLogger("zoetrope.inbox")

_FAILED = Reason("inbox-error", "Taking the picture failed.", "Please report this.")

HOLD_SECONDS = 30.0  # between looks at a picture that waits for a recipe to be fixed
_TURN_SECONDS = 2.0  # how long a row waits for an earlier picture's row


class _Work(msgspec.Struct):
    """One drop on its way; the claim is there once its files are ours."""

    drop: Drop | None = None
    claim: Claim | None = None
    arrived: float = 0.0
    admitted: bool = False  # its row is new; what comes after it may have to be tried again

    @property
    def name(self) -> str:
        paths = self.claim.pictures if self.claim else self.drop.paths if self.drop else ()
        return shown(paths[0]) if paths else "?"


class Intake:
    """Claims, admits, rejects and recovers; a few pictures at once, in the order of their arrival."""

    def __init__(
        self,
        settings: Settings,
        ledger: JobStore,
        recipes: Recipes,
        decoder: Decoder,
        *,
        outbox: OutboxIdentity | None = None,
        identify: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        randomness: random.Random | None = None,
        retry_seconds: float = RETRY_SECONDS,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._recipes = recipes
        self._clock = clock
        self._new_id = new_id
        self._hold_seconds = hold_seconds
        self._identify = identify
        outbox = outbox or OutboxIdentity(settings.outbox.path, settings.outbox_identity)
        videos = Outbox(settings.outbox.path, outbox)
        self._claims = Claims(
            settings.inbox.path,
            move=settings.inbox.claim == "move",
            new_id=new_id,
            fallback=settings.outbox.path / "rejected",
            outbox=outbox,
        )
        self._admission = Admission(
            settings,
            ledger,
            recipes,
            decoder,
            clock=clock,
            randomness=randomness,
            lacks_video=videos.lacks_video,
        )
        self._watcher: Watcher | None = None
        self._found: deque[_Work] = deque()  # claims that an earlier run left
        self._later: list[tuple[float, int, _Work]] = []
        self._number = itertools.count()
        self._held: dict[str, Held] = {}
        self._slots: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._retries = Retries(settings, retry_seconds, on_end=self._changed.set)
        self._last_turn = asyncio.Event()
        self._last_turn.set()
        lost = LostWork(settings.work, settings.lost)
        self.submissions = Submissions(
            settings,
            ledger,
            recipes,
            self._claims,
            self._admission,
            lost,
            new_id=new_id,
            accepted=self._tell_accepted,
        )
        self.readmission = Readmission(ledger, recipes, lost, self.submissions, videos)
        self._leftovers = Leftovers(settings, ledger, self._claims, lost, clock=clock)
        self._accepted = self._refused = 0
        self._sorting = asyncio.Lock()
        self._unsorted = False  # there may be claims that are not being worked on

    @property
    def status(self) -> IntakeStatus:
        """What the intake does now."""
        return IntakeStatus(
            problem=self._retries.problem,
            notice=self._claims.problem,
            held=tuple(self._held.values()),
            busy=len(self._slots),
            later=len(self._later),
            accepted=self._accepted,
            refused=self._refused,
        )

    async def recover(self) -> None:
        """Sort out what an earlier run left: finish, take again, put back, or put aside."""
        await asyncio.to_thread(self._settings.work.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(self._identify)
        await asyncio.to_thread(self._claims.prepare)
        await self._sort_out()
        kept = {work.claim.id for work in self._found if work.claim is not None}
        await self._leftovers.work(lambda: self.submissions.in_hand | kept)

    async def _sort_out(self) -> None:
        """Sort out the claims that are not being worked on: an earlier run's, or an interrupted move's."""
        async with self._sorting:
            self._unsorted = False
            try:
                claims = await self._leftovers.claims(self._finish, self._claim_alone)
            except BaseException:
                self._unsorted = True
                raise
            self._found.extend(_Work(claim=claim, arrived=self._clock()) for claim in claims)
            if self._watcher is not None and not self._unsorted:
                self._watcher.hand_out()

    def _appeared(self) -> None:
        """The inbox is there, or is another folder: claims may lie in it, and what waited for it need not wait."""
        self._unsorted = True
        self._later = [(0.0, number, work) for _, number, work in self._later]
        heapq.heapify(self._later)
        self._changed.set()

    async def run(self, watcher: Watcher) -> None:
        """Take drops until cancelled; what is in hand then is recovered at the next start."""
        self._watcher = watcher
        watcher.on_appearance = self._appeared
        await self._retries.until_done(self.recover)
        offer: asyncio.Task[Drop] | None = None
        # Two more than decode at once: while these decode, others are copied and written down.
        most = self._settings.inbox.decode_workers + 2
        try:
            while True:
                self._changed.clear()
                if self._unsorted and self._retries.problem is None:
                    await self._retries.until_done(self._sort_out)
                if len(self._slots) < most and self._retries.problem is None:
                    if (work := self._waiting_work()) is not None:
                        self._start(work)
                        continue
                    if offer is None:
                        offer = asyncio.create_task(watcher.next())
                    elif offer.done():
                        self._start(_Work(drop=offer.result()))
                        offer = None
                        continue
                await self._pause(offer)
        finally:
            tasks = [*self._slots, *([offer] if offer else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look_at_folders(self) -> None:
        """Look again at what a person should fix in the inbox's folders; they may have done so."""
        with contextlib.suppress(OSError, ZoetropeError):
            await asyncio.to_thread(self._claims.prepare)

    async def take(self, drop: Drop) -> Job | None:
        """Take one drop through; None if its files are gone or it has to be looked at again."""
        return await self._take(_Work(drop=drop), no_turn)

    def _start(self, work: _Work) -> None:
        before, self._last_turn = self._last_turn, asyncio.Event()
        task = asyncio.create_task(self._slot(work, before, self._last_turn))
        self._slots.add(task)
        task.add_done_callback(self._slots.discard)

    async def _slot(self, work: _Work, before: asyncio.Event, after: asyncio.Event) -> None:
        async def turn() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TURN_SECONDS):
                    await before.wait()

        try:
            await self._retries.until_done(lambda: self._take(work, turn))
        except asyncio.CancelledError:
            if work.claim is not None:
                self._claims.forget(work.claim.id)
            raise
        except Exception as error:  # a mistake of ours must not cost a picture, nor stop the others
            said = log_failure(log, error, f"{work.name} could not be taken", {"action": "error"})
            self._hold(work, said or _FAILED)
        finally:
            after.set()
            self._changed.set()

    def _waiting_work(self) -> _Work | None:
        if self._found:
            return self._found.popleft()
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        return None

    async def _pause(self, offer: asyncio.Task[Drop] | None) -> None:
        """Wait until there may be something to do."""
        timeout = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
        changed = asyncio.create_task(self._changed.wait())
        waited: set[asyncio.Task[Any]] = {changed}
        if offer is not None and not offer.done():
            waited.add(offer)
        elif self._later and timeout == 0.0:
            timeout = None  # it is due, but there is no room; a slot's end says more
        try:
            await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def _take(self, work: _Work, turn: Callable[[], Awaitable[None]]) -> Job | None:
        if work.claim is None and not await self._claim(work):
            return None
        claim = work.claim
        assert claim is not None
        try:
            if work.drop is not None and work.drop.late:
                await self._return_late(work, claim)
                return None
            job = await self._ledger.claimed(claim.id)
            if job is None:
                job = await self._admit(claim, work.arrived, turn)
                work.admitted = True
            elif not claim.moved and not work.admitted:
                # It stands in the inbox as it was when it was taken: it is known already.
                self._done(work)
                return job
            await self._finish(claim, job)
        except LookAgain as error:
            self._look_later(work, error.seconds)
        except OutboxAway:
            raise  # its reason is written as soon as the outbox is back
        except ITS_OWN as error:
            self._hold(work, error.reason)
        except FileNotFoundError:
            if not await self._miss(work, claim):
                raise
        except OSError as error:
            self._hold(work, await self._claim_alone(error, claim))
        else:
            self._done(work)
            return job
        return None

    async def _return_late(self, work: _Work, claim: Claim) -> None:
        """Bring a ticket that came too late where people find it, with the reason."""
        reason = late(claim.pictures[0])
        await asyncio.to_thread(self._claims.refuse, claim, reason)
        log.warning("%s is not used: %s", work.name, reason, extra={"action": "ticket-late"})
        self._done(work)

    async def _miss(self, work: _Work, claim: Claim) -> bool:
        """Look why something is missing; false if it is not the picture."""
        match await asyncio.to_thread(find, claim):
            case Whereabouts.REMOVED:
                log.warning("%s is gone", work.name, extra={"action": "gone"})
                self._done(work)
            case Whereabouts.AWAY if claim.moved:
                self._hold(work, away(claim))
            case Whereabouts.AWAY:
                # It is found again as if it were new.
                self._lose(work)
            case Whereabouts.HERE:
                return False
        return True

    async def _claim(self, work: _Work) -> bool:
        drop = work.drop
        assert drop is not None
        if self._unsorted:
            # A move that was interrupted may have left a ticket, or all of a pair but its start.
            await self._sort_out()
        await asyncio.to_thread(find_room, self._settings)
        try:
            claim = await asyncio.to_thread(
                self._claims.take,
                tuple(entry.path for entry in drop.pictures),
                tuple(entry.path for entry in drop.tickets),
                shared=drop.shared,
            )
            if claim is not None and claim.others:
                claim = await self._unknown_part(claim)
        except ITS_OWN as error:
            self._hold(work, error.reason)
            return False
        except OSError as error:
            self._unsorted = True
            self._hold(work, await self._own(error, drop.pictures[0].folder))
            return False
        if claim is None:
            self._lose(work)
            return False
        work.claim = claim
        work.arrived = self._clock()
        if claim.moved and self._watcher is not None:
            self._watcher.done(drop)
        return True

    async def _claim_alone(self, error: OSError, claim: Claim) -> Reason:
        return await self._own(error, claim.folder, claim.home)

    async def _own(self, error: OSError, folder: str, home: str = "") -> Reason:
        """Say what keeps the pictures of one folder alone; an error that concerns all is raised again."""
        inbox = self._settings.inbox.path
        reason = await asyncio.to_thread(closed_alone, error, inbox, folder, home)
        if reason is None:
            raise error
        return reason

    async def _unknown_part(self, claim: Claim) -> Claim:
        """Of a pair that stays in the inbox, leave out the half that was taken alone before."""
        ids = (claim.id, *claim.others)
        unknown = [i for i, each in enumerate(ids) if await self._ledger.claimed(each) is None]
        if len(unknown) != 1:
            return claim
        return msgspec.structs.replace(
            claim, id=ids[unknown[0]], others=(), pictures=(claim.pictures[unknown[0]],)
        )

    async def _admit(
        self, claim: Claim, arrived: float, turn: Callable[[], Awaitable[None]]
    ) -> Job:
        """Make the claim's row, be it queued, waiting or rejected."""
        job_input = from_claim(claim, arrived)
        draft = self._admission.draft(job_input)
        defaults: Mapping[str, Any] = {}
        try:
            defaults = await asyncio.to_thread(read_defaults, claim, self._settings.inbox.path)
            values = await asyncio.to_thread(read_values, claim, defaults)
            job_input = msgspec.structs.replace(job_input, values=values)
            return await self._admission.admit(job_input, draft, turn)
        except Rejected as error:
            # As they were read for this picture: by now they may be others, or gone.
            await asyncio.to_thread(
                folder_ticket.check, self._settings, self._recipes, claim.folder, defaults
            )
            await turn()
            return await self._admission.refused(job_input, draft, error)

    async def _finish(self, claim: Claim, job: Job) -> None:
        """The row is durable: let the originals go, or bring them where people find them."""
        if job.state is State.REJECTED and job.reason is not None:
            await asyncio.to_thread(self._claims.refuse, claim, job.reason)
            # One that was rejected later may be asked for again, whoever claims to be it.
            if not job.needs_work:
                await asyncio.to_thread(source.remove, self._settings.work / claim.id)
            self._refused += 1
            log.warning(
                "%s was rejected: %s",
                shown(next(iter(claim.pictures), job.stem)),
                job.reason,
                extra={"job": job.short, "action": "refused"},
            )
        else:
            await asyncio.to_thread(self._claims.release, claim)
            self._tell_accepted(job)

    def _tell_accepted(self, job: Job) -> None:
        self._accepted += 1
        log.info(
            "%s is job %s (%s, %s)",
            job.stem,
            job.short,
            job.ticket.recipe,
            job.state,
            extra={"job": job.short, "action": "accepted"},
        )

    def _lose(self, work: _Work) -> None:
        """Its files are not where they were; should they come back, they are found again."""
        self._held.pop(work.name, None)
        if self._watcher is not None and work.drop is not None:
            self._watcher.lose(work.drop)

    def _done(self, work: _Work) -> None:
        self._held.pop(work.name, None)
        if work.claim is not None:
            self._claims.forget(work.claim.id)
        stays = work.claim is None or not work.claim.moved
        if self._watcher is not None and work.drop is not None and stays:
            self._watcher.done(work.drop)

    def _look_later(self, work: _Work, seconds: float) -> None:
        if work.claim is not None and not work.claim.moved:
            if self._watcher is not None and work.drop is not None:
                self._watcher.again(work.drop, seconds)
            return
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._number), work))
        self._changed.set()

    def _hold(self, work: _Work, reason: Reason) -> None:
        if work.name not in self._held:
            log.error("%s waits: %s", work.name, reason, extra={"action": "held"})
        self._held[work.name] = Held(work.name, reason)
        self._look_later(work, self._hold_seconds)
