"""Admission: one claimed picture, or pair, becomes one durable row of the ledger, or is rejected with a reason."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from ..domain.job import Job, Stage, State
from ..domain.steps import complete_pair, reject
from ..domain.values import SourceImage, Ticket
from ..errors import IllegalTransition, RecipeError, Rejected
from ..graphs.recipe import Recipe
from ..graphs.recipe_file import RecipeFile
from ..graphs.shelf import Recipes
from ..host import shown
from ..jobs import duplicates, work_note
from ..settings import Settings
from ..store.protocol import JobStore
from ..store.rows import Unkept
from . import ticket as tickets
from .formats import UNKNOWN, is_moving
from .job_input import JobInput, Part
from .source import StillChanging, copy, make_durable
from .source_image import Decoder

# Above this the seed boxes of some nodes misbehave; nobody misses the rest.
SEEDS = 2**32
STALLED_SECONDS = 15.0


class Draft(msgspec.Struct):
    """What is known so far; a rejected row shows that much."""

    ticket: Ticket
    images: tuple[SourceImage, ...] = ()


class LookAgain(Exception):
    """The picture may not be complete yet; look at it again after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Duplicate(Rejected):
    """The same bytes with the same ticket are, or were, a job already."""

    key = "duplicate"

    def __init__(self, job: Job) -> None:
        where = f"; its video is {job.outbox} in the outbox" if job.outbox else ""
        super().__init__(
            f"The same picture with the same ticket is job {job.short} ({job.state}){where}.",
            "Ask for something else in a ticket, such as another seed; or set inbox.duplicates"
            ' to "new-seed" or "always".',
        )
        self.job = job.id


class Admission:
    """Makes rows out of job inputs; what stands in the inbox is not its business."""

    def __init__(
        self,
        settings: Settings,
        ledger: JobStore,
        recipes: Recipes,
        decoder: Decoder,
        *,
        clock: Callable[[], float] = time.time,
        randomness: random.Random | None = None,
        lacks_video: Callable[[Job], bool],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._recipes = recipes
        self._lacks_video = lacks_video  # whether a user took a finished job's video away
        self._decoder = decoder
        self._clock = clock
        self._random = randomness if randomness is not None else random.SystemRandom()
        self._commit = asyncio.Lock()  # a duplicate is looked for and the row written as one step
        self._halves = asyncio.Lock()

    def draft(self, job_input: JobInput) -> Draft:
        """Say what can be said of a job's input before anything was looked at."""
        named = job_input.folder or self._settings.recipes.default
        return Draft(Ticket(recipe=shown(named)))

    async def admit(
        self, job_input: JobInput, draft: Draft, turn: Callable[[], Awaitable[None]]
    ) -> Job:
        """Take a job's input through to its row; `turn` is awaited before the row is written.

        Raises Rejected, RecipeError, LookAgain, NotReadable, or an error that is the host's own.
        """
        if len(job_input.parts) == 1 and job_input.parts[0].half:
            async with self._halves:
                return await self._admit_half(job_input, draft, turn)
        recipe = await self._resolve(job_input, draft)
        wanted = recipe.file.pictures
        if len(job_input.parts) > wanted:
            raise self._unwanted_pair(job_input, recipe)
        images = await self._images(job_input, job_input.id, draft, recipe)
        # One picture for a pair's recipe is a loop: it ends as it began.
        images = images * wanted if len(images) == 1 else images
        return await self._queue(job_input, draft, recipe, images, turn)

    async def refused(self, job_input: JobInput, draft: Draft, error: Rejected) -> Job:
        """Write the row of a job's input that was rejected, so that the page can show it."""
        now = self._clock()
        job = Job(
            id=job_input.id,
            created=job_input.arrived or now,
            updated=now,
            state=State.REJECTED,
            stem=job_input.stem,
            folder=job_input.folder,
            origin=job_input.origin,
            images=draft.images,
            ticket=draft.ticket,
            reason=error.reason,
        )
        try:
            return await self._write(job, job_input)
        except Unkept:
            # Whatever of the picture or the ticket it is that cannot be kept, the refusal can.
            bare = Ticket(recipe=draft.ticket.recipe)
            return await self._write(
                msgspec.structs.replace(job, ticket=bare, images=()), job_input
            )

    async def _resolve(self, job_input: JobInput, draft: Draft) -> Recipe:
        return await asyncio.to_thread(self._resolved, job_input, draft)

    def _resolved(self, job_input: JobInput, draft: Draft) -> Recipe:
        default = self._settings.recipes.default
        name = tickets.recipe_name(job_input.values, job_input.folder, default)
        draft.ticket = Ticket(recipe=shown(name))
        if job_input.version:
            recipe = self._recipes.accepted(job_input.version, name)
        else:
            recipe = tickets.find(self._recipes, job_input.values, job_input.folder, default)
        draft.ticket = tickets.resolve(job_input.values, recipe)
        return recipe

    async def _admit_half(
        self, job_input: JobInput, draft: Draft, turn: Callable[[], Awaitable[None]]
    ) -> Job:
        half = job_input.parts[0].half
        other = await self._ledger.find_half(job_input.folder, job_input.stem)
        if other is None or other.half == half:
            recipe = await self._resolve(job_input, draft)
            if recipe.file.pictures != 2:
                raise self._unwanted_pair(job_input, recipe)
            images = await self._images(job_input, job_input.id, draft, recipe)
            seed = self._seed(job_input, draft.ticket, recipe)
            recipe.plan(draft.ticket, images[0], seed)
            await turn()
            version = await self._keep(recipe)
            job = self._job(
                job_input, draft.ticket, images, seed, version, state=State.WAITING, half=half
            )
            await self._note(job)
            return await self._write(job, job_input)
        if job_input.own_ticket:
            recipe = await self._resolve(job_input, draft)
        else:
            # The first half brought the ticket, or did without one, and was accepted with its recipe.
            draft.ticket = other.ticket
            recipe = await self._recipes.of(other)
        if recipe.file.pictures != 2:
            raise self._unwanted_pair(job_input, recipe)
        images = await self._images(job_input, other.id, draft, recipe)
        pair = (*images, *other.images) if half == "start" else (*other.images, *images)
        seed = self._seed(job_input, draft.ticket, recipe)
        notes = recipe.plan(draft.ticket, pair[0], seed, end=pair[-1]).notes
        fingerprint = _fingerprint(pair, draft.ticket)
        version = await self._keep(recipe)
        known = {"images": pair, "ticket": draft.ticket, "seed": seed, "recipe_version": version}
        await self._note(msgspec.structs.replace(other, half="", **known))
        await turn()
        async with self._commit:
            try:
                seed, more = await self._unlike_earlier(fingerprint, seed, recipe)
                step = partial(
                    complete_pair,
                    now=self._clock(),
                    images=pair,
                    ticket=draft.ticket,
                    seed=seed,
                    recipe_version=version,
                    fingerprint=fingerprint,
                    notes=(*notes, *more),
                    stages=self._stages(recipe, draft.ticket),
                )
            except Duplicate as error:
                # The half that waited goes the same way; its picture lies with the earlier job.
                step = partial(reject, now=self._clock(), reason=error.reason)
            try:
                job = await self._ledger.change(other.id, step, claim=job_input.id)
            except IllegalTransition as error:
                # Somebody took the waiting job back meanwhile; this half waits anew.
                raise LookAgain(0.0) from error
        await self._remember(job_input, job)
        return job

    async def _images(
        self, job_input: JobInput, job_id: str, draft: Draft, recipe: Recipe
    ) -> tuple[SourceImage, ...]:
        """Copy and open every picture of a job's input into a job's work folder."""
        folder = self._settings.work / job_id
        await asyncio.to_thread(work_note.begin, folder)
        found: list[SourceImage] = []
        for part in job_input.parts:
            end = part.half == "end"
            stem, target = ("end", "upright-end.png") if end else ("source", "upright.png")
            found.append(await self._image(job_input, part, folder, stem, target, recipe))
            draft.images = tuple(found)
        return tuple(found)

    async def _note(self, job: Job) -> None:
        """Write a job's note next to its pictures, and make both durable: the row comes after them."""
        folder = self._settings.work / job.id
        files = {image.file for image in job.images} - {image.source for image in job.images}

        def work() -> None:
            work_note.keep(folder, job)
            make_durable(folder, *files)

        await asyncio.to_thread(work)

    async def _image(
        self, job_input: JobInput, part: Part, folder: Path, stem: str, target: str, recipe: Recipe
    ) -> SourceImage:
        limits = self._settings.inbox
        try:
            source, look = await asyncio.to_thread(
                copy, part.file, folder, stem, limits.max_megabytes
            )
        except StillChanging as error:
            raise LookAgain(limits.settle_seconds) from error
        source = msgspec.structs.replace(source, name=shown(part.name))
        publisher = await self._ledger.find_publisher(source.sha256)
        clip = recipe.file.clip
        if is_moving(source.file) != (clip is not None) and not source.file.endswith(UNKNOWN):
            raise self._wrong_kind(recipe)
        # A clip of ours may be worked on further, but never twice by the same recipe: where the
        # outbox is synced into the inbox, that would not end.
        if publisher is not None and (clip is None or publisher.ticket.recipe == recipe.name):
            raise Rejected(
                f"This file was made by zoetrope itself, in job {publisher.short}.",
                "Drop the picture that you want to see moving.",
                key="own-output",
            )
        most = clip.max_frames if clip is not None else 0
        try:
            # A job is known by its first picture.
            small = "" if part.half == "end" else "small.jpg"
            return await self._decoder.open(
                folder, source, target=target, max_frames=most, small=small
            )
        except Rejected as error:
            # A copy that stalled looks like one that ended; the writer gets some time to go on.
            age = self._clock() - max(look.mtime_ns / 1e9, 0.0)
            waited = self._clock() - job_input.arrived
            if error.reason.key == "picture-truncated" and max(age, waited) < STALLED_SECONDS:
                raise LookAgain(
                    max(1.0, min(STALLED_SECONDS / 3, STALLED_SECONDS - age))
                ) from error
            raise

    async def _queue(
        self,
        job_input: JobInput,
        draft: Draft,
        recipe: Recipe,
        images: tuple[SourceImage, ...],
        turn: Callable[[], Awaitable[None]],
    ) -> Job:
        end = images[-1] if len(images) > 1 else None
        seed = self._seed(job_input, draft.ticket, recipe)
        notes = recipe.plan(draft.ticket, images[0], seed, end=end).notes
        fingerprint = _fingerprint(images, draft.ticket)
        version = await self._keep(recipe)
        job = self._job(
            job_input,
            draft.ticket,
            images,
            seed,
            version,
            fingerprint=fingerprint,
            notes=notes,
            stages=self._stages(recipe, draft.ticket),
        )
        await self._note(job)
        await turn()
        async with self._commit:
            if not job_input.parent:
                seed, more = await self._unlike_earlier(fingerprint, seed, recipe)
                job = msgspec.structs.replace(job, seed=seed, notes=(*notes, *more))
            return await self._write(job, job_input)

    async def _unlike_earlier(
        self, fingerprint: str, seed: int, recipe: Recipe
    ) -> tuple[int, tuple[str, ...]]:
        """Choose seed and notes by what the operator wants done with duplicates; Duplicate if nothing."""
        policy = self._settings.inbox.duplicates
        if policy == "always":
            return seed, ()
        earlier = await duplicates.find(self._ledger, fingerprint, self._lacks_video)
        if earlier is None:
            return seed, ()
        if earlier.gone:
            made = f"job {earlier.job.short} made this video before"
            return seed, (f"{made}, and it is not in the outbox any more",)
        if policy == "skip":
            raise Duplicate(earlier.job)
        while seed == earlier.job.seed:
            seed = self._random.randrange(min(SEEDS, recipe.file.seed_max + 1))
        return seed, ()

    def _seed(self, job_input: JobInput, ticket: Ticket, recipe: Recipe) -> int:
        if ticket.seed is not None:
            return ticket.seed
        if job_input.seed is not None and job_input.seed <= recipe.file.seed_max:
            return job_input.seed
        return self._random.randrange(min(SEEDS, recipe.file.seed_max + 1))

    async def _keep(self, recipe: Recipe) -> str:
        """Keep the recipe as it is now: edited later, it concerns later jobs."""
        return await asyncio.to_thread(self._recipes.versions.keep, recipe)

    def _stages(self, recipe: Recipe, ticket: Ticket) -> tuple[Stage, ...]:
        said = ticket.review if ticket.review is not None else self._settings.jobs.review
        specs = recipe.file.stages
        return tuple(
            Stage(
                name=spec.name,
                # After the last stage there is nothing left to approve.
                review=spec is not specs[-1] and (spec.review if said is None else said),
            )
            for spec in specs
        )

    def _job(
        self,
        job_input: JobInput,
        ticket: Ticket,
        images: tuple[SourceImage, ...],
        seed: int,
        version: str,
        *,
        state: State = State.QUEUED,
        half: str = "",
        fingerprint: str = "",
        notes: tuple[str, ...] = (),
        stages: tuple[Stage, ...] = (),
    ) -> Job:
        now = self._clock()
        return Job(
            id=job_input.id,
            created=job_input.arrived or now,
            updated=now,
            state=state,
            stem=job_input.stem,
            folder=job_input.folder,
            origin=job_input.origin,
            parent=job_input.parent,
            images=images,
            half=half,
            ticket=ticket,
            seed=seed,
            recipe_version=version,
            fingerprint=fingerprint,
            notes=notes,
            stages=stages,
            request=job_input.request,
        )

    async def _write(self, job: Job, job_input: JobInput) -> Job:
        return await self._ledger.add(job, claim=job_input.id, others=job_input.claims)

    async def _remember(self, job_input: JobInput, job: Job) -> None:
        for claim in job_input.claims:
            await self._ledger.change(job.id, lambda same: same, claim=claim)

    def _unwanted_pair(self, job_input: JobInput, recipe: Recipe) -> Rejected:
        names = " and ".join(shown(part.name) for part in job_input.parts)
        pairs = self._recipes_that(lambda file: file.pictures == 2)
        fitting = ", ".join(pairs) or "none is installed"
        return Rejected(
            f"{names}: a first and last frame, but the recipe {recipe.name} makes its video from"
            " one picture.",
            f"Drop the picture without `.start` or `.end` in its name, or use a recipe for pairs"
            f" ({fitting}).",
            key="pair-unwanted",
        )

    def _wrong_kind(self, recipe: Recipe) -> Rejected:
        if recipe.file.clip is not None:
            return Rejected(
                f"The file is a picture, but the recipe {recipe.name} begins with a video.",
                "Drop a video, or leave the picture in the inbox itself.",
                key="video-wanted",
            )
        fitting = ", ".join(self._recipes_that(lambda file: file.clip is not None))
        further = f", or drop it into the folder of a recipe for videos ({fitting})"
        return Rejected(
            "The file is a video, not a picture.",
            f"Drop a single frame of it as a picture{further if fitting else ''}.",
            key="video-unwanted",
        )

    def _recipes_that(self, fit: Callable[[RecipeFile], bool]) -> list[str]:
        found = []
        for name in self._recipes.names():
            try:
                if fit(self._recipes.get(name).file):
                    found.append(name)
            except (RecipeError, Rejected):
                continue
        return found


def _fingerprint(images: tuple[SourceImage, ...], ticket: Ticket) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(bytes.fromhex(image.sha256))
    digest.update(msgspec.json.encode(ticket, order="deterministic"))
    return digest.hexdigest()
