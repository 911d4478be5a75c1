"""Recognition: a job of a restored ledger whose video is in the outbox already is done, and not made again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..domain import steps
from ..domain.job import Job, Progress, Stage
from ..errors import IllegalTransition
from ..store.protocol import Journal
from ..store.retry import until_answered
from ..store.rows import BROKEN
from ..structs import primed
from .outbox import MOST_RECEIPT, RECEIPT, find_published, pieces
from .receipt import StageReceipt

log = logging.getLogger("zoetrope.jobs")


class _Made(msgspec.Struct):
    """The part of a receipt that says what the stages made."""

    job: str
    stages: tuple[StageReceipt, ...]


async def recognise(
    ledger: Journal, outbox: Path, jobs: Sequence[Job], clock: Callable[[], float]
) -> frozenset[str]:
    """Write down which of some jobs under way have their video already; gives their ids."""
    # A job whose stages are all finished is the publisher's, who finds its folder in the same way.
    under_way = {job.id: job for job in jobs if job.stage is not None}
    found = await asyncio.to_thread(_look, outbox, under_way)
    done: set[str] = set()
    for job_id, (name, stages) in found.items():
        made = [artefact.sha256 for stage in stages for artefact in stage.artefacts]
        step = partial(steps.recognise, now=clock(), outbox=name, stages=stages)
        with contextlib.suppress(IllegalTransition):  # a person ended it meanwhile
            await until_answered(partial(ledger.publish, job_id, step, made))
            done.add(job_id)
            about = {"job": job_id[:8], "action": "recognised"}
            log.warning("its video is in the outbox already: %s", name, extra=about)
    return frozenset(done)


def _look(outbox: Path, jobs: dict[str, Job]) -> dict[str, tuple[str, tuple[Stage, ...]]]:
    found = {}
    for job_id, name in find_published(outbox, jobs).items():
        if (stages := _stages(outbox, name, jobs[job_id])) is not None:
            found[job_id] = name, stages
    return found


def _stages(outbox: Path, name: str, job: Job) -> tuple[Stage, ...] | None:
    """Read from a receipt what a job's stages made; None where its video is not there."""
    try:
        with Beneath(outbox) as tree:
            content = tree.read(f"{name}/{RECEIPT}", MOST_RECEIPT)
            made = msgspec.json.decode(content, type=primed(_Made))
            stages = finished(job.stages, made.stages)
            if stages is None:
                return None
            whole = steps.recognise(job, job.updated, name, stages)
            videos = [each.published for each in pieces(whole) if each.kind == "video"]
            there = [stat.S_ISREG(tree.stat(f"{name}/{video}").st_mode) for video in videos]
    except (OSError, Linked, *BROKEN):
        return None
    return stages if there and all(there) else None


def finished(stages: tuple[Stage, ...], made: tuple[StageReceipt, ...]) -> tuple[Stage, ...] | None:
    """Give a job's stages as its receipt says that they ended; None for a receipt of other stages."""
    if [stage.name for stage in stages] != [each.name for each in made] or not stages:
        return None
    return tuple(
        msgspec.structs.replace(
            stage,
            state=Progress.DONE,
            approved=stage.review,
            attempts=each.attempts,
            fallbacks=each.fallbacks,
            artefacts=each.artefacts,
            verdicts=each.verdicts,
            not_before=0.0,
        )
        for stage, each in zip(stages, made, strict=True)
    )
