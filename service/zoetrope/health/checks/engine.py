"""Does an engine answer?"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...jobs.engine_watch import UNKNOWN
from ...jobs.progress import prompts_of_others
from ...jobs.worker import WorkerStatus
from ...runtime import Runtime
from ..base import CheckResult, ago


class EngineCheck:
    """Looks at what the conductor knows of each engine; it asks them all the time anyway."""

    name = "engine"

    def __init__(self, runtime: Runtime, *, now: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._now = now

    async def look(self) -> CheckResult:
        """Say which engines answer."""
        if self._runtime.conductor is None:
            return CheckResult(
                name=self.name,
                level="degraded",
                found="Engines are not checked before the service is fully started.",
                next_step="Fix what the ledger check reports; the engines are started after it.",
            )
        workers = self._runtime.conductor.status().workers
        down = [worker for worker in workers if not worker.up]
        unknown = [w.reason for w in down if w.reason and w.reason.key == UNKNOWN]
        if unknown and len(unknown) == len(down):
            return CheckResult(
                name=self.name,
                # Not ready yet, as whoever waits for the service understands it.
                level="failing" if len(down) == len(workers) else "degraded",
                found=" ".join(reason.sentence for reason in unknown),
                next_step=unknown[0].next_step,
            )
        if not down:
            return CheckResult(
                name=self.name,
                level="ok",
                found="; ".join(_healthy(worker) for worker in workers),
            )
        return CheckResult(
            name=self.name,
            level="failing" if len(down) == len(workers) else "degraded",
            found="; ".join(self._down(worker) for worker in down),
            next_step="; ".join(dict.fromkeys(_advice(worker) for worker in down)),
        )

    def _down(self, worker: WorkerStatus) -> str:
        span = f" for {ago(self._now() - worker.since)}" if worker.since else ""
        why = worker.reason.sentence if worker.reason else "it does not respond."
        return f"{worker.name} at {worker.url} is down{span}: {why}"


def _healthy(worker: WorkerStatus) -> str:
    stats = worker.stats
    if stats is None:
        return f"{worker.name} is up"
    kind = "simulated engine" if stats.simulated else "ComfyUI"
    device = f" on {stats.device}" if stats.device else ""
    shared = f", with {prompts_of_others(worker.others)}" if worker.others else ""
    return f"{worker.name} is up: {kind} {stats.version}{device}{shared}"


def _advice(worker: WorkerStatus) -> str:
    if worker.reason and worker.reason.next_step:
        return worker.reason.next_step
    return f"Start it, or fix engines.url: systemctl list-units 'comfyui*'; curl {worker.url}/system_stats"


def make(runtime: Runtime) -> EngineCheck:
    """Make the check."""
    return EngineCheck(runtime)
