"""What an earlier process left: jobs of engines that are gone, recipe versions that nobody needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ..domain import steps
from ..domain.job import Job
from ..domain.values import Failure
from ..errors import IllegalTransition, NotReadable
from ..graphs.shelf import Recipes
from ..store.protocol import JobStore, Journal
from ..store.retry import until_answered
from . import work_note


async def move(ledger: Journal, job: Job, engine: str, clock: Callable[[], float]) -> None:
    """Give a job back to the queue whose engine is no longer configured."""
    gone = Failure(kind="crash", message=f"The engine {engine} is no longer configured.")

    def left(before: Job) -> Job:
        fallbacks = before.stage.fallbacks if before.stage else ()
        return steps.try_again(before, clock(), gone, fallbacks)

    with contextlib.suppress(IllegalTransition):  # a person ended it meanwhile
        await until_answered(lambda: ledger.change(job.id, left))


async def note(work: Path, jobs: Sequence[Job]) -> None:
    """Write the notes that work of an older zoetrope lacks, one after the other; nothing waits for it."""
    for job in jobs:
        with contextlib.suppress(OSError, NotReadable):  # the next start tries again
            await asyncio.to_thread(_note, work / job.id, job)


def _note(folder: Path, job: Job) -> None:
    if work_note.missing(folder):
        work_note.keep(folder, job)


async def sweep(ledger: JobStore, recipes: Recipes, *work: Path) -> None:
    """Remove recipe versions that no job names, nor any work in some folders; work itself is retention's."""
    kept = await asyncio.to_thread(recipes.versions.names)
    unused = kept - await until_answered(lambda: ledger.referenced(kept))
    if unused:
        # A ledger that was restored or begun anew knows nothing of work that may become a job again.
        unused -= await asyncio.to_thread(work_note.versions, *work)
        await asyncio.to_thread(recipes.versions.forget, unused)
