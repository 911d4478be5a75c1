"""Do stages take as long as they do on this host as a rule?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from ...domain.job import Job, State
from ...domain.query import JobQuery
from ...errors import ZoetropeError
from ...graphs.recipe_file import Band
from ...jobs.durations import Basis, MadeStage, Slow, judge, runs
from ...jobs.stage_request import planned
from ...runtime import Runtime
from ..base import CheckResult

LOOKED_AT = 200  # of the last finished videos
KEEP = 60.0  # seconds; finished videos come every few minutes


class PaceCheck:
    """Compares the last video's stages with those before it, and with the recipe's own estimate."""

    name = "pace"

    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._last: tuple[float, CheckResult | None] | None = None

    async def look(self) -> CheckResult | None:
        """Say which stage of the last video was slow, and the likely causes in order."""
        if self._last is None or self._clock() - self._last[0] >= KEEP:
            self._last = (self._clock(), await self._judge())
        return self._last[1]

    async def _judge(self) -> CheckResult | None:
        ledger = self._runtime.ledger
        if ledger is None:
            return None
        rows = await ledger.page(JobQuery(states=(State.DONE,), limit=LOOKED_AT))
        if not rows:
            return None
        last, *before = [row.job for row in rows]
        earlier = [run for job in before for run in runs(job)]
        found: list[str] = []
        causes: tuple[str, ...] = ()
        on_processors = self._on_processors()
        for run in runs(last):
            estimate, band = await asyncio.to_thread(self._expected, last, run)
            run = msgspec.structs.replace(run, processors=run.engine in on_processors)
            slow = judge(run, earlier, estimate, band)
            if slow is not None:
                found.append(_told(slow, band))
                causes = causes or slow.causes
        if not found:
            return CheckResult(
                name=self.name, level="ok", found="The last video took as long as usual."
            )
        return CheckResult(
            name=self.name,
            level="degraded",
            found=" ".join(found),
            next_step=f"Likely causes, in this order: {'; '.join(causes)}.",
        )

    def _on_processors(self) -> set[str]:
        """Name the engines that have no GPU."""
        conductor = self._runtime.conductor
        workers = conductor.status().workers if conductor is not None else ()
        return {w.name for w in workers if w.stats is not None and w.stats.pool_free is None}

    def _expected(self, job: Job, run: MadeStage) -> tuple[float | None, Band | None]:
        recipes = self._runtime.recipes
        if recipes is None:
            return None, None
        try:
            recipe = recipes.get(job.ticket.recipe)
            spec = recipe.stage(run.stage)
            return recipe.estimate(planned(recipe, job), spec), spec.band
        except (ZoetropeError, LookupError):
            return None, None  # the recipe is gone or was changed since


def _told(slow: Slow, band: Band | None) -> str:
    run = slow.run
    against = {
        Basis.HOST: f"it usually takes {slow.usual:.0f} s",
        Basis.RECIPE: f"the recipe's estimate is {slow.usual:.0f} s",
        Basis.DOCUMENT: f"at most {slow.usual:.0f} s are expected ({band.source if band else ''})",
    }[slow.by]
    return f"Stage {run.stage} of {run.job} ({run.recipe}) took {run.seconds:.0f} s; {against}."


def make(runtime: Runtime) -> PaceCheck:
    """Make the check."""
    return PaceCheck(runtime)
