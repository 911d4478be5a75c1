"""Does an engine that answers also work?"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...jobs.progress import Live
from ...jobs.worker import WorkerStatus
from ...runtime import Runtime
from ..base import CheckResult, ago

WORRY = 2 / 3  # of the silence that a stage may keep, after which it is told
# Beyond the limit, in which the conductor takes the stage back by itself.
GRACE = 60.0


class WorkCheck:
    """Looks for stages that run and have not moved for long, by the limits that the conductor goes by."""

    name = "work"

    def __init__(self, runtime: Runtime, *, now: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._now = now

    async def look(self) -> CheckResult | None:
        """Say how far the running stages are, or which of them does not move; None while none runs."""
        if (conductor := self._runtime.conductor) is None:
            return None
        # Of an engine that is down, the engine's own check speaks.
        running = [
            (worker, job, live)
            for worker in conductor.status().workers
            if worker.up
            for job in worker.in_hand
            if (live := conductor.live(job)) is not None and live.silence > 0
        ]
        if not running:
            return None
        now = self._now()
        for worker, job, live in running:
            if now - live.moved > live.silence + GRACE:
                return self._abandoned(worker, job, live)
        for worker, job, live in running:
            if now - live.moved > WORRY * live.silence:
                return self._silent(worker, job, live)
        told = (
            f"{worker.name} is at {live.fraction:.0%} of {live.stage}"
            for worker, _, live in running
        )
        return CheckResult(
            name=self.name, level="ok", found=f"{'; '.join(told)}.".replace("%", " %")
        )

    def _silent(self, worker: WorkerStatus, job: str, live: Live) -> CheckResult:
        left = live.moved + live.silence - self._now()
        return CheckResult(
            name=self.name,
            level="degraded",
            found=f"{self._image(worker, job, live)}; in {ago(left)} it is cancelled and retried.",
            next_step=f"See nvidia-smi and the log of the engine. Or cancel it: zoetrope cancel {job[:8]}",
        )

    def _abandoned(self, worker: WorkerStatus, job: str, live: Live) -> CheckResult:
        return CheckResult(
            name=self.name,
            level="failing",
            found=f"{self._image(worker, job, live)}, and should have been cancelled by now.",
            next_step="Restart the engine, then zoetrope (nothing is lost), and report this.",
        )

    def _image(self, worker: WorkerStatus, job: str, live: Live) -> str:
        where = f" in {live.node}" if live.node else ""
        span = ago(self._now() - live.moved)
        return f"{worker.name} answers, but job {job[:8]} has made no progress for {span}{where}"


def make(runtime: Runtime) -> WorkCheck:
    """Make the check."""
    return WorkCheck(runtime)
