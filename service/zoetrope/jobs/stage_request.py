"""What a job's present stage asks of an engine: its files, its graph, and what its video has to be."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..domain.job import Job, Progress
from ..domain.plan import Plan
from ..domain.values import Artefact, SourceImage, Ticket
from ..engine.protocol import MOST_FETCHED, Output
from ..errors import RecipeError, Rejected
from ..graphs.graph import Graph, digest
from ..graphs.recipe import Recipe
from ..graphs.recipe_file import StageSpec
from ..verify.expected import Expected

# The borders of a multipart form need some room besides the file.
FORM_BYTES = 64 * 1024
# What a container, its tags and a very short clip may have besides.
ROOM_BYTES = 256 << 20


class StageRequest:
    """What a job's present stage asks of an engine, worked out from its recipe."""

    def __init__(
        self,
        recipe: Recipe,
        job: Job,
        fallbacks: tuple[str, ...],
        *,
        max_upload: int,
        memory: float = 0.0,
    ) -> None:
        stage = job.stage
        assert stage is not None
        # The open attempt was decided for one GPU, whatever is asked of now.
        self.memory = job.attempt.memory if job.attempt else memory
        self.recipe = recipe.on(self.memory)
        self.spec = recipe.stage(stage.name)
        self.plan = planned(recipe, job, memory)
        self.fallbacks = job.attempt.fallbacks if job.attempt else fallbacks
        self.number = job.attempt.number if job.attempt else stage.next_number
        self.estimate = recipe.estimate(self.plan, self.spec)
        self._job = job
        self._source = self._before(max_upload) if self.spec.source else None

    @property
    def source(self) -> str:
        """The work file of an earlier stage that the graph reads, if it reads one."""
        return self._source.file if self._source else ""

    @property
    def image(self) -> SourceImage:
        """The picture, or the video's first frame, that the job began with."""
        return self._job.images[0]

    @property
    def ticket(self) -> Ticket:
        """What the person asked for."""
        return self._job.ticket

    def files(self) -> dict[str, str]:
        """Name the work files that the graph reads, by what they are to it."""
        wanted = {}
        if self.spec.picture:
            wanted["picture"] = self._job.images[0].file
        if self.spec.end_picture:
            wanted["end_picture"] = self._job.images[-1].file
        if self._source is not None:
            wanted["source"] = self._source.file
        return wanted

    def names(self) -> dict[str, str]:
        """Name the same files for the engine, by their content: people's names never go through."""
        hashes = {
            "picture": self._job.images[0].sha256,
            "end_picture": self._job.images[-1].sha256,
            "source": self._source.sha256 if self._source else "",
        }
        return {
            kind: f"{hashes[kind][:24]}{Path(file).suffix.lower()}"
            for kind, file in self.files().items()
        }

    def graph(self, names: dict[str, str], prefix: str | None = None) -> Graph:
        """Build the stage's graph around the names the engine gave the files."""
        # Job and attempt in the prefix: ComfyUI reuses a name once its file is moved away, and a
        # graph that it has seen before runs nothing and names the old file.
        own = f"zoetrope/{self._job.short}-{self.spec.name}-{self.number}"
        return self.recipe.build(
            self.plan,
            self.spec,
            files=names,
            prefix=own if prefix is None else prefix,
            fallbacks=self.fallbacks,
        )

    def is_made_by(self, outputs: tuple[Output, ...]) -> bool:
        """Return whether these files are all that the stage is to make."""
        handoff = self.spec.handoff
        wanted = {self.spec.output} | ({handoff.output} if handoff is not None else set())
        return wanted <= {output.node for output in outputs}

    def digest(self) -> str:
        """Give the graph's digest without what is each attempt's own: equal work has equal digests."""
        names = {kind: "" if kind == "source" else name for kind, name in self.names().items()}
        return digest(self.graph(names, prefix=""))

    def _before(self, max_upload: int) -> Artefact:
        """Choose what the stage before hands over: its frames without loss if the engine takes them."""
        stage = next((stage for stage in reversed(self._job.stages) if stage.artefacts), None)
        if stage is None:
            video = self._job.images[0]
            return Artefact(file=video.source, size=video.size, sha256=video.sha256)
        clip, whole = stage.artefacts[0], stage.handoff
        if (attempt := self._job.attempt) is not None:
            # The open attempt was decided with one of them, whatever the engine would take now.
            return whole if whole is not None and whole.file == attempt.source else clip
        # ComfyUI answers 413 to more than --max-upload-size, by default 100 MB.
        fits = whole is not None and whole.size + FORM_BYTES <= max_upload
        return whole if whole is not None and fits else clip


def planned(recipe: Recipe, job: Job, memory: float = 0.0) -> Plan:
    """Give a job's plan; before its first stage ran, make it for a GPU of so much memory."""
    if job.begun:
        if job.plan is not None:
            return job.plan
        # A job of an older zoetrope: made anew for the GPU that its first stage ran on.
        memory = job.stages[0].attempts[-1].memory
    first, last = job.images[0], job.images[-1]
    other = last if recipe.file.pictures == 2 else None
    return recipe.on(memory).plan(job.ticket, first, job.seed, end=other)


def outdated_stages(recipe: Recipe, job: Job) -> tuple[str, ...]:
    """Name the finished stages whose submitted graph is not the one that the recipe gives now."""
    return tuple(
        stage.name
        for number, stage in enumerate(job.stages)
        if stage.state is Progress.DONE
        and stage.attempts
        and stage.attempts[-1].graph
        and _digest_now(recipe, job, number) != stage.attempts[-1].graph
    )


def _digest_now(recipe: Recipe, job: Job, number: int) -> str:
    """Give the digest that a stage's last attempt would have now; "" where the recipe no longer fits the job."""
    stage = job.stages[number]
    last = msgspec.structs.replace(stage.attempts[-1], state=Progress.SUBMITTED)
    attempts = (*stage.attempts[:-1], last)
    again = msgspec.structs.replace(stage, state=Progress.SUBMITTED, attempts=attempts)
    stages = (*job.stages[:number], again, *job.stages[number + 1 :])
    try:
        # What is noted of the engine's limit on uploads counts only before an attempt is decided.
        return StageRequest(
            recipe, msgspec.structs.replace(job, stages=stages), (), max_upload=0
        ).digest()
    except (RecipeError, Rejected):
        return ""


def expectation(recipe: Recipe, spec: StageSpec, job: Job) -> Expected:
    """Say what a stage's video has to be, by recipe and plan."""
    plan = planned(recipe, job)
    fallbacks = tuple(fallback for stage in job.stages for fallback in stage.fallbacks)
    width, height = recipe.expected_size(plan, spec, fallbacks)
    return Expected(
        frames=(plan.kept - 1) * spec.expect.times + 1 if plan.kept else 0,
        fps=plan.fps * spec.expect.times,
        width=width,
        height=height,
        size=spec.expect.size,
        quality=spec.expect.quality,
        motion=spec.expect.motion,
    )


def most_bytes(expected: Expected) -> int:
    """Say how large a stage's file can be: as large as its frames without any compression, in 16 bits a color."""
    known = expected.width * expected.height
    # Of a size that the plan leaves open it is only known that no recipe makes more than 8K of a clip.
    pixels = known if known and expected.size == "same" else max(16 * known, 7680 * 4320)
    return min(MOST_FETCHED, ROOM_BYTES + pixels * (expected.frames or 10_000) * 6)


def size_key(plan: Plan) -> str:
    """Name a size under which fallbacks are remembered."""
    return f"{plan.width}x{plan.height}x{plan.frames}"
