"""The receipt next to every video: all that is needed to know how it was made, and to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from .. import __version__
from ..domain.job import Attempt, Job, Stage
from ..domain.plan import Plan
from ..domain.values import Artefact, SourceImage, Ticket
from ..domain.verdict import LOSSLESS, Verdict

# Another number where a field comes to mean something else; a field more is none.
SCHEMA = 1


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage got from the stage before it."""

    file: str
    codec: str
    lossless: bool


class StageReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """How one stage went: every attempt, the fallbacks that were used, and what it made."""

    name: str
    source: Handed | None
    attempts: tuple[Attempt, ...]
    artefacts: tuple[Artefact, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float
    fallbacks: tuple[str, ...] = msgspec.field(name="rungs")


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The content of receipt.json."""

    schema: int
    zoetrope: str
    job: str
    parent: str
    stem: str  # the name that the video has unless the ticket gives one
    created: float
    finished: float
    recipe: str
    recipe_version: str  # of the recipe: the digest of its files
    ticket: Ticket
    seed: int
    prompt: str  # as the engine got it: after beats, presets and the recipe's default
    negative: str
    plan: Plan | None  # None where the recipe is no longer the one that made the video
    images: tuple[SourceImage, ...] = msgspec.field(name="stills")
    stages: tuple[StageReceipt, ...]
    notes: tuple[str, ...]
    recipe_files: Mapping[str, str]  # of that version, by name; empty where it was not kept


def write(
    job: Job,
    plan: Plan | None,
    now: float,
    outdated: tuple[str, ...] = (),
    files: Mapping[str, str] = MappingProxyType({}),
) -> Receipt:
    """Draw up the receipt of a job whose stages are all finished; `files` are its recipe's.

    Where the recipe was edited after the `outdated` stages were made, there is no plan to show.
    """
    changes = tuple(f"{image.name}: {change}" for image in job.images for change in image.changes)
    return Receipt(
        schema=SCHEMA,
        zoetrope=__version__,
        job=job.id,
        parent=job.parent,
        stem=job.stem,
        created=job.created,
        finished=now,
        recipe=job.ticket.recipe,
        recipe_version=job.recipe_version,
        ticket=job.ticket,
        seed=job.seed,
        prompt=_words(job, plan, "prompt"),
        negative=_words(job, plan, "negative"),
        plan=plan,
        # The small copy went with the work folder.
        images=tuple(msgspec.structs.replace(image, small="", pixels="") for image in job.images),
        stages=tuple(
            StageReceipt(
                name=stage.name,
                source=handed(job, stage),
                attempts=stage.attempts,
                artefacts=stage.artefacts,
                verdicts=stage.verdicts,
                seconds=sum(
                    (a.ended or 0.0) - a.started for a in stage.attempts if a.started and a.ended
                ),
                fallbacks=stage.fallbacks,
            )
            for stage in job.stages
        ),
        notes=(*_of_plan(job, plan, outdated), *changes, *_warnings(job)),
        recipe_files=dict(files),
    )


def _words(job: Job, plan: Plan | None, key: str) -> str:
    """Give a text as the engine got it; without a plan, as the ticket has it."""
    used = plan.effective.get(key) if plan is not None else None
    return str(used if used is not None else getattr(job.ticket, key) or "")


def _of_plan(job: Job, plan: Plan | None, outdated: tuple[str, ...]) -> tuple[str, ...]:
    """Say what was corrected in the plan, or why the plan is unknown."""
    if plan is not None:
        return plan.notes
    stages = ", ".join(outdated)
    why = (
        f"The recipe {job.ticket.recipe} gives another graph now than the one that made {stages}, so"
        " the plan is unknown; the verdicts of each stage hold what was measured."
    )
    return (*job.notes, why)


def _warnings(job: Job) -> tuple[str, ...]:
    """Say what the linter warned of in the graphs that made the video."""
    made = [(stage, stage.attempts[-1]) for stage in job.stages if stage.attempts]
    return tuple(f"{stage.name}: {finding}" for stage, attempt in made for finding in attempt.lint)


def handed(job: Job, stage: Stage) -> Handed | None:
    """Say what a stage's last attempt worked on, and whether anything was lost on the way."""
    file = stage.attempts[-1].source if stage.attempts else ""
    for verdict in (each for other in job.stages for each in other.verdicts):
        if verdict.file == file and verdict.measured is not None:
            codec = verdict.measured.codec
            return Handed(file=file, codec=codec, lossless=codec in LOSSLESS)
    return None


def encode(receipt: Receipt) -> bytes:
    """Give the receipt as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"
