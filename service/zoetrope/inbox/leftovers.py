"""Leftovers: what an earlier run left in the claim folders and in the work folder, and whose it is."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..beneath import Beneath
from ..domain.job import Job, State, is_job_id
from ..errors import NotFound, NotReadable, Reason, RecipeError
from ..jobs import work_note
from ..jobs.lost_work import LostWork, is_spare
from ..jobs.outbox import find_published
from ..settings import Settings
from ..store.protocol import JobStore
from ..store.rows import UnreadableJob
from . import source
from .claim import Claim, Claims
from .readmission import new_id_of
from .trouble import closed, trouble_of

log = logging.getLogger("zoetrope.inbox")

# What keeps one picture waiting and no other: its recipe, its files, or its row.
ITS_OWN = (RecipeError, NotReadable, UnreadableJob)
_NAMED = 5  # ids that are named in the log


class Leftovers:
    """Finishes what was begun, puts back what is incomplete, and puts aside what nobody knows."""

    def __init__(
        self,
        settings: Settings,
        ledger: JobStore,
        claims: Claims,
        lost: LostWork,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._claims = claims
        self._lost = lost
        self._clock = clock

    async def claims(
        self,
        finish: Callable[[Claim, Job], Awaitable[None]],
        own: Callable[[OSError, Claim], Awaitable[Reason]],
    ) -> list[Claim]:
        """Sort out what was claimed; gives what is to be taken again, in the order of its arrival."""
        found: list[Claim] = []
        left = await asyncio.to_thread(self._claims.pending)
        try:
            found = [claim for claim in left if await self._is_left(claim, finish, own)]
        finally:
            kept = {claim.id for claim in found}
            for claim in left:
                if claim.id not in kept:
                    self._claims.forget(claim.id)
        return found

    async def _is_left(
        self,
        claim: Claim,
        finish: Callable[[Claim, Job], Awaitable[None]],
        own: Callable[[OSError, Claim], Awaitable[Reason]],
    ) -> bool:
        """Return whether a claim is to be taken again; all others are sorted out."""
        try:
            again = await self._sort_out(claim, finish)
        except ITS_OWN as error:
            # One claim's trouble; a picture is looked at again, a ticket alone at the next start.
            log.warning("%s", error, extra={"action": error.reason.key})
            again = claim.one
        except OSError as error:
            # Whoever made a folder may have closed it, or may be exchanging what lies in it.
            reason = closed(claim.home, "out of") if claim.foreign else await own(error, claim)
            log.warning("%s", reason, extra={"action": "held"})
            again = claim.one
        # What another user put there gives no job its id: the next start tries again.
        return again and not claim.foreign

    async def _sort_out(
        self, claim: Claim, finish: Callable[[Claim, Job], Awaitable[None]]
    ) -> bool:
        """Finish a claim or put it back; returns whether it is to be taken again."""
        job = await self._ledger.claimed(claim.id)
        if not claim.pictures or (job is None and (claim.foreign or not claim.one)):
            # Nothing yet or nothing more: the picture's rename is the first and the last word.
            # And what another user put there is taken like any other picture, with an id of ours.
            # Whose picture is whose in a claim that was added to, the inbox tells again.
            await asyncio.to_thread(self._claims.put_back, claim)
            return False
        if job is None:
            return True
        if job.state is not State.REJECTED:
            # Only what the job knows by its bytes is removed.
            known = frozenset(image.sha256 for image in job.images)
            claim = await asyncio.to_thread(self._claims.put_back_unknown, claim, known)
        if claim.pictures:
            await finish(claim, job)
        return False

    async def work(self, in_hand: Callable[[], frozenset[str]]) -> None:
        """Sort out the work folders; what the ledger knows nothing of is put aside, and never removed."""
        lost = await self._back()
        unknown: list[str] = []
        for name in await asyncio.to_thread(_ids, self._settings.work):
            if name in in_hand():
                continue
            try:
                if not (await self._ledger.get(name)).needs_work:
                    await asyncio.to_thread(source.remove, self._settings.work / name)
            except UnreadableJob:
                continue
            except NotFound:
                # Lost work that was on its way to becoming this job is still where it was.
                if name in lost or await self._is_spare(self._settings.work, name):
                    await asyncio.to_thread(source.remove, self._settings.work / name)
                else:
                    unknown.append(name)
            except OSError as error:
                # It takes room and keeps no picture from being taken; the next start tries again.
                log.warning("%s", trouble_of(error, self._settings), extra={"action": "held"})
        if unknown:
            await self._put_aside(unknown)

    async def _put_aside(self, names: list[str]) -> None:
        videos = await asyncio.to_thread(find_published, self._settings.outbox.path, names)
        aside: list[str] = []
        for name in names:
            video, now = videos.get(name, ""), self._clock()
            try:
                if await asyncio.to_thread(self._lost.put_aside, name, now, video):
                    aside.append(name[:8])
            except (OSError, NotReadable) as error:
                # It stays where it is, and the next start tries again.
                log.warning("%s", trouble_of(error, self._settings), extra={"action": "held"})
        if aside:
            log.warning(
                "the ledger has no row for the work of %d jobs, which waits in %s: %s;"
                " `zoetrope recover` lists it",
                len(aside),
                self._settings.lost,
                ", ".join(aside[:_NAMED]) + (", ..." if aside[_NAMED:] else ""),
                extra={"action": "lost-work"},
            )

    async def _back(self) -> frozenset[str]:
        """Finish what became a job again, and put work back whose rows are there again.

        Gives the ids of the jobs that the rest can become.
        """
        left: list[str] = []
        try:
            await asyncio.to_thread(self._lost.clear)
            for name in await asyncio.to_thread(self._lost.ids):
                became = await self._ledger.claimed(new_id_of(name)) is not None
                if became or await self._is_spare(self._settings.lost, name):
                    await asyncio.to_thread(self._lost.remove, name)
                elif await self._is_needed(name) and await self._put_back(name):
                    about = {"job": name[:8], "action": "lost-work-back"}
                    log.info("its row is there again, so its work is put back", extra=about)
                else:
                    left.append(new_id_of(name))
        except (OSError, NotReadable, UnreadableJob) as error:
            log.warning("%s", trouble_of(error, self._settings), extra={"action": "held"})
        return frozenset(left)

    async def _put_back(self, name: str) -> bool:
        return await asyncio.to_thread(self._lost.put_back, name)

    async def _is_spare(self, folder: Path, name: str) -> bool:
        """Whether work is what an upload left that was cut off before its row, and repeated since."""
        noted = await asyncio.to_thread(_noted, folder, name)
        if noted is None or not noted.request:
            return False
        return is_spare(noted, await self._ledger.claimed(noted.request.partition(":")[0]))

    async def _is_needed(self, job_id: str) -> bool:
        try:
            job = await self._ledger.get(job_id)
        except UnreadableJob:
            return True
        except NotFound:
            return False
        return job.state is not State.DONE and not job.removed


def _noted(folder: Path, name: str) -> Job | None:
    with Beneath(folder) as tree:
        return work_note.read(tree, name)


def _ids(path: Path) -> list[str]:
    """List the folders that are called as a job's work is; links and others' folders are not ours to remove."""
    with os.scandir(path) as entries:
        return [
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and is_job_id(entry.name)
        ]
