"""The receipt beside every video: all that is needed to know how it was made, and to make it again."""

from __future__ import annotations

import msgspec

from .. import __version__
from ..graphs.recipe import Plan
from .job import Artefact, Attempt, Job, Still, Ticket
from .verify import Verdict

SCHEMA = 1


class StageReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """How one stage went: every attempt, the rungs that were climbed, and what it made."""

    name: str
    attempts: tuple[Attempt, ...]
    artefacts: tuple[Artefact, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float
    rungs: tuple[str, ...]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The content of receipt.json."""

    schema: int
    zoetrope: str
    job: str
    parent: str
    created: float
    finished: float
    recipe: str
    ticket: Ticket
    plan: Plan
    stills: tuple[Still, ...]
    stages: tuple[StageReceipt, ...]
    notes: tuple[str, ...]


def write(job: Job, plan: Plan, now: float) -> Receipt:
    """Draw up the receipt of a job whose stages are all finished."""
    changes = tuple(f"{still.name}: {change}" for still in job.stills for change in still.changes)
    return Receipt(
        schema=SCHEMA,
        zoetrope=__version__,
        job=job.id,
        parent=job.parent,
        created=job.created,
        finished=now,
        recipe=job.ticket.recipe,
        ticket=job.ticket,
        plan=plan,
        stills=job.stills,
        stages=tuple(
            StageReceipt(
                name=stage.name,
                attempts=stage.attempts,
                artefacts=stage.artefacts,
                verdicts=stage.verdicts,
                seconds=sum(
                    (a.ended or 0.0) - a.started for a in stage.attempts if a.started and a.ended
                ),
                rungs=stage.relief,
            )
            for stage in job.stages
        ),
        notes=(*plan.notes, *changes),
    )


def encode(receipt: Receipt) -> bytes:
    """Give the receipt as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"
