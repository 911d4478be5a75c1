"""Readmission: lost work becomes a job again, by the same way in as any picture, or goes when a user says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..domain.job import Job, State, is_job_id
from ..domain.values import Ticket
from ..errors import NotFound, NotReadable, Rejected
from ..graphs.recipe import Recipe
from ..graphs.shelf import Recipes
from ..host import shown
from ..jobs.lost_work import LostNote, LostWork, unknown
from ..jobs.outbox import Outbox
from ..store.protocol import JobStore
from ..store.rows import UnreadableJob
from . import ticket as tickets
from .job_input import JobInput, Part
from .submissions import Submissions

log = logging.getLogger("zoetrope.inbox")

# A fixed namespace: the same lost work is the same job, however often it is asked for and whatever crashes.
_READMITTED = uuid.UUID("6a0f2f0e-53a1-5a53-9a57-1f8f6b0c7d11")


def new_id_of(lost: str) -> str:
    """Give the id of the job that lost work becomes."""
    return uuid.uuid5(_READMITTED, lost).hex


class Readmission:
    """Offers lost work, and takes it in, or removes it, when a person asks for it."""

    def __init__(
        self,
        ledger: JobStore,
        recipes: Recipes,
        lost: LostWork,
        submissions: Submissions,
        outbox: Outbox,
    ) -> None:
        self._ledger = ledger
        self._recipes = recipes
        self._lost = lost
        self._submissions = submissions
        self._outbox = outbox
        self._one = asyncio.Lock()

    async def count(self) -> int:
        """Say how many pieces of work wait."""
        return len(await asyncio.to_thread(self._lost.ids))

    async def page(self, after: str, limit: int) -> tuple[list[LostNote], int]:
        """List some of what waits, by the order of the ids, and say how many wait in all."""

        def read() -> tuple[list[LostNote], int]:
            ids = self._lost.ids()
            some = [each for each in ids if each > after][:limit]
            return list(self._notes(some)), len(ids)

        return await asyncio.to_thread(read)

    async def readmit(self, prefix: str) -> Job:
        """Make a job of lost work; asked for again after a crash, or by its whole id, it is still one job.

        What is wrong with it is raised, and the work stays where it is.
        """
        # Two requests for the same work would copy into the same folder.
        async with self._one:
            whole = prefix.lower()
            # Its whole id is all that is left of work that became a job.
            gone = is_job_id(whole) and whole not in await asyncio.to_thread(self._lost.ids)
            if gone and (known := await self._ledger.claimed(new_id_of(whole))) is not None:
                return known
            lost = await self._find(whole)
            job = await self._ledger.claimed(new_id_of(lost))
            if job is None:
                await self._need_none(lost)
                job = await self._submissions.take_input(await asyncio.to_thread(self._input, lost))
            # The row is durable, and so is the copy.
            await asyncio.to_thread(self._lost.remove, lost)
        return job

    async def discard(self, prefix: str) -> LostNote:
        """Remove lost work for good; gives what it was, and what its removal freed.

        Work that a job needs is no lost work, and stays.
        """
        async with self._one:
            lost = await self._find(prefix.lower())
            job = await self._row(lost)
            if job is not None and job.state is not State.DONE and not job.removed:
                raise _not_lost(job)
            note = await asyncio.to_thread(self._lost.note, lost)
            await asyncio.to_thread(self._lost.remove, lost)
        names = ", ".join(picture.name for picture in note.pictures) or note.stem
        about = {"job": lost[:8], "action": "lost-work-discarded"}
        log.info("a user discarded its lost work: %s", shown(names), extra=about)
        return note

    async def _find(self, prefix: str) -> str:
        found = [
            each for each in await asyncio.to_thread(self._lost.ids) if each.startswith(prefix)
        ]
        if len(found) == 1 and prefix:
            return found[0]
        if not found:
            raise unknown(prefix)
        raise NotFound(
            f"{prefix!r} is the beginning of the ids of {len(found)} pieces of lost work.",
            "Write more of it.",
            key="lost-unknown",
        )

    async def _row(self, lost: str) -> Job | None:
        """Give the job of that work, if the ledger has one by now."""
        try:
            return await self._ledger.get(lost)
        except UnreadableJob as error:
            raise Rejected(error.reason.sentence, error.reason.next_step, key="not-lost") from error
        except NotFound:
            return None

    async def _need_none(self, lost: str) -> None:
        """Raise if there is a job, or a video, of that work already: none is made twice unasked."""
        if (job := await self._row(lost)) is not None:
            raise _not_lost(job)
        if (reason := await asyncio.to_thread(self._outbox.look)) is not None:
            raise NotReadable(
                f"Whether its video is there already cannot be seen: {reason.sentence}",
                reason.next_step.replace("it goes on by itself", "ask again then"),
                key=reason.key,
            )
        found = await asyncio.to_thread(self._outbox.published, [lost])
        if lost in found:
            place = self._lost.place(lost, "").whole
            raise Rejected(
                f"Its video is there already: {found[lost]} in the outbox.",
                f"For another one, submit the picture from {place}; else remove the work:"
                f" `zoetrope recover --discard {lost[:8]}`.",
                key="lost-done",
            )

    def _notes(self, ids: Iterable[str]) -> Iterator[LostNote]:
        for each in ids:
            with contextlib.suppress(NotFound):  # it became a job, or was discarded, meanwhile
                yield self._lost.note(each)

    def _input(self, lost: str) -> JobInput:
        note, job = self._lost.note(lost), self._lost.job(lost)
        if not note.pictures:
            raise Rejected(
                f"The lost work {lost[:8]} holds no picture.",
                f"See what is in {self._lost.place(lost, '').whole}; `zoetrope recover --discard"
                f" {lost[:8]}` removes it.",
                key="lost-empty",
            )
        halves: tuple[str, ...] = ("start", "end")
        if len(note.pictures) == 1:
            halves = (job.half if job is not None else "",)
        values: Mapping[str, Any] = {}
        version = ""
        if note.ticket is not None:
            recipe = self._recipes.find_version(note.recipe_version, note.ticket.recipe)
            version = recipe.version if recipe is not None and note.recipe_version else ""
            # Where the recipe is not kept any more, the one that has its name now serves.
            recipe = recipe or self._recipes.get(note.ticket.recipe)
            if version:
                self._recipes.versions.keep(recipe)
            values = _said(note.ticket, recipe, exact=bool(version))
        return JobInput(
            id=new_id_of(lost),
            parts=tuple(
                Part(file=self._lost.place(lost, each.file), name=each.name, half=half)
                for each, half in zip(note.pictures, halves, strict=True)
            ),
            folder=note.folder,
            stem=note.stem,
            origin=job.origin if job is not None else "inbox",
            values=values,
            own_ticket=True,
            arrived=note.accepted or 0.0,
            version=version,
            seed=note.seed,
        )


def _not_lost(job: Job) -> Rejected:
    return Rejected(
        f"The work {job.short} is not lost: job {job.short} is {job.state}.",
        f"Use the job: zoetrope job {job.short}.",
        key="not-lost",
    )


def _said(ticket: Ticket, recipe: Recipe, *, exact: bool) -> dict[str, Any]:
    """Give a ticket's values as they were said; a preset's name only where the recipe is the same."""
    values = tickets.repeated(ticket, {}, recipe)
    if ticket.seed is not None:
        values["seed"] = ticket.seed
    if exact and ticket.preset:
        values["preset"] = ticket.preset
    return values
