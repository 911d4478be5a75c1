"""Submissions: takes what somebody hands over and waits for, where the inbox takes what is left there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from ..domain.job import Job
from ..errors import NotFound, NotReadable, Rejected, ZoetropeError
from ..graphs.shelf import Recipes
from ..host import shown
from ..jobs.lost_work import LostWork
from ..settings import Settings
from ..store.protocol import JobStore, Journal
from ..store.rows import UnreadableJob
from . import source
from . import ticket as tickets
from .admission import Admission, LookAgain
from .claim import Claims
from .job_input import JobInput, from_claim, from_upload, keyed, read_defaults, read_values
from .request_key import RequestKey
from .trouble import find_room

log = logging.getLogger("zoetrope.inbox")

SPARE = "its request was repeated, so the copy that the first try left is removed: %s"


class Submissions:
    """Makes jobs at once, or says at once why not: uploads, earlier jobs again, named pictures."""

    def __init__(
        self,
        settings: Settings,
        ledger: JobStore,
        recipes: Recipes,
        claims: Claims,
        admission: Admission,
        lost: LostWork,
        *,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        accepted: Callable[[Job], None],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._recipes = recipes
        self._claims = claims
        self._admission = admission
        self._lost = lost
        self._new_id = new_id
        self._accepted = accepted
        self._in_hand: set[str] = set()

    @property
    def in_hand(self) -> frozenset[str]:
        """The ids of what is on its way to becoming a job."""
        return frozenset(self._in_hand)

    async def take_upload(
        self,
        file: Path,
        name: str,
        ticket: Mapping[str, Any],
        *,
        end: tuple[Path, str] | None = None,
        parent: str = "",
        version: str = "",
        recipe: Mapping[str, str] = MappingProxyType({}),
        key: RequestKey | None = None,
    ) -> Job:
        """Take an uploaded picture, or pair; what is wrong with it is raised as Rejected.

        The files are copied; the caller removes its own. A Duplicate holds the earlier job. With a version
        the recipe is taken as it was then; its files, by name, serve where it is not kept any more.
        """
        files = ((file, name),) if end is None else ((file, name), end)
        job_input = keyed(from_upload(self._new_id(), files, ticket, parent), key)
        if version:
            named = tickets.recipe_name(ticket, "", self._settings.recipes.default)
            await self._find_version(version, named, recipe, parent)
            job_input = msgspec.structs.replace(job_input, version=version)
        return await self.take_input(job_input)

    async def _find_version(
        self, version: str, name: str, files: Mapping[str, str], parent: str
    ) -> None:
        """See to it that a version of a recipe is kept, or say why it cannot be had."""
        found = await asyncio.to_thread(self._recipes.find_version, version, name)
        if found is not None:
            await asyncio.to_thread(self._recipes.versions.keep, found)
            return
        # A recipe is the operator's word on what engines run: files that somebody sends are taken only
        # where the ledger says that this host has accepted a job with the very same before.
        if files and parent and await names_version(self._ledger, parent, version):
            await asyncio.to_thread(self._recipes.versions.restore, version, name, files)
            return
        raise Rejected(
            f"The version {version[:12]} of the recipe {shown(name)} is not kept, and the recipe has changed"
            " since.",
            "Extract it from the receipt with `zoetrope reproduce RECEIPT --unpack FOLDER`, and put it into a"
            " folder of recipes.path.",
            key="recipe-version-unknown",
        )

    async def again(
        self, earlier: Job, files: tuple[tuple[Path, str], ...], changes: Mapping[str, Any]
    ) -> Job:
        """Make another job of an earlier one's pictures, with some of its ticket changed.

        The files are copied; the caller removes its own. Without a seed among the changes, it gets a random one.
        """
        name = tickets.recipe_name(changes, "", earlier.ticket.recipe)
        values = tickets.repeated(earlier.ticket, changes, self._recipes.get(name))
        job_input = from_upload(self._new_id(), files, values, earlier.id, stem=earlier.stem)
        return await self.take_input(job_input)

    async def take_named(
        self,
        path: str,
        ticket: Mapping[str, Any],
        *,
        parent: str = "",
        key: RequestKey | None = None,
    ) -> Job:
        """Take a picture that lies in the inbox, with a ticket that says more than the one next to it.

        What is wrong with it is raised, and the picture lies again where it lay.
        """
        claim = await asyncio.to_thread(self._claims.take_named, path)
        try:
            defaults = await asyncio.to_thread(read_defaults, claim, self._settings.inbox.path)
            values = await asyncio.to_thread(read_values, claim, defaults)
            job_input = msgspec.structs.replace(
                from_claim(claim, 0.0),
                values=tickets.overlay(values, ticket),
                own_ticket=True,
                parent=parent,
            )
            if not claim.moved:
                # What stays in the inbox may have been taken before; it is taken as often as asked.
                ids = (claim.id, *claim.others)
                job_input = msgspec.structs.replace(job_input, id=self._new_id(), claims=ids)
            job = await self.take_input(keyed(job_input, key))
        except Exception:
            # What has no way back is found by the next start.
            with contextlib.suppress(NotReadable):
                await asyncio.to_thread(self._claims.put_back, claim)
            raise
        await asyncio.to_thread(self._claims.release, claim)
        return job

    async def take_input(self, job_input: JobInput) -> Job:
        """Make a job of a job's input; what is wrong with it is raised, and nothing of it stays in the work folder."""
        self._in_hand.add(job_input.id)
        try:
            await asyncio.to_thread(find_room, self._settings)
            job = await self._admission.admit(job_input, self._admission.draft(job_input), no_turn)
        except Exception as error:
            # What a cancelled request leaves is cleared away at the next start.
            with contextlib.suppress(ZoetropeError):
                if not await has_work(self._ledger, job_input.id):
                    await asyncio.to_thread(source.remove, self._settings.work / job_input.id)
            if isinstance(error, LookAgain):
                raise Rejected(
                    "The picture is still being written.",
                    "Ask again when it is complete.",
                    key="picture-changing",
                ) from error
            raise
        finally:
            self._in_hand.discard(job_input.id)
        self._accepted(job)
        await self._remove_spares(job)
        return job

    async def _remove_spares(self, job: Job) -> None:
        """Remove what an upload left that was cut off before its row, now that its request was repeated."""
        try:
            gone = await asyncio.to_thread(self._lost.remove_spares, job)
        except (OSError, NotReadable, NotFound) as error:
            # It takes room and costs no picture; the next start tries again.
            log.warning("%s", error, extra={"job": job.short, "action": "held"})
            return
        if gone:
            log.info(SPARE, ", ".join(gone), extra={"job": job.short, "action": "spare-copy"})


async def names_version(ledger: Journal, job_id: str, version: str) -> bool:
    """Return whether a job of this ledger was accepted with a version of a recipe."""
    try:
        return (await ledger.get(job_id)).recipe_version == version
    except NotFound:
        return False


async def has_work(ledger: Journal, job_id: str) -> bool:
    """Whether there is a job that may still need its work folder."""
    try:
        return (await ledger.get(job_id)).needs_work
    except UnreadableJob:
        return True
    except NotFound:
        return False


async def no_turn() -> None:
    """Wait for nobody's turn."""
