"""Does the queue move?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ...dispatch.pause import Standstill
from ...domain.job import State
from ...errors import Reason
from ...jobs.recent_failures import counted, look
from ...runtime import Runtime
from ..base import CheckResult, ago

PATIENCE = 60.0  # seconds that a job may wait next to an idle engine
FORGOTTEN = 86_400.0  # seconds after which a pause without an end was not meant to be so long


class QueueCheck:
    """Looks for a pause, and for a job that no one takes although an engine is idle."""

    name = "queue"

    def __init__(
        self,
        runtime: Runtime,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._now = now
        self._clock = clock
        self._left: tuple[str, float] | None = None  # the job left lying, and since when

    async def look(self) -> CheckResult:
        """Say what runs and waits, and whether it moves."""
        conductor, ledger = self._runtime.conductor, self._runtime.ledger
        if conductor is None or ledger is None:
            return CheckResult(
                name=self.name,
                level="degraded",
                found="No job is started before the ledger is open.",
                next_step="Fix what the ledger check reports.",
            )
        status = conductor.status()
        if status.paused is not None:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"Paused: {status.paused.sentence}",
                next_step=status.paused.next_step or "Fix it; the queue resumes by itself.",
            )
        if status.waiting:
            return self._kept(status.waiting)
        counts = await ledger.counts()
        if status.standstill is not None:
            return self._standing(status.standstill, counts)
        idle = [worker.name for worker in status.workers if worker.up and not worker.in_hand]
        held = [job for worker in status.workers for job in worker.in_hand]
        due = await ledger.oldest(self._now(), without=held) if idle else None
        if due is None:
            self._left = None
        elif self._left is None or self._left[0] != due.id:
            self._left = (due.id, self._clock())
        elif (span := self._clock() - self._left[1]) > PATIENCE:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"Job {due.short} has waited {ago(span)} although {idle[0]} is idle.",
                next_step="Restart zoetrope (nothing is lost) and report this.",
            )
        found = _counted(counts)
        if status.outside_hours is not None:
            found = f"{status.outside_hours.sentence} {found}"
        if lately := counted(await look(ledger, self._now())):
            found = f"{found} {lately}."
        return CheckResult(name=self.name, level="ok", found=found)

    def _standing(self, standstill: Standstill, counts: Mapping[State, int]) -> CheckResult:
        """Say why no stage starts; a pause without an end that was forgotten is a complaint."""
        self._left = None
        since = standstill.since
        forgotten = (
            since is not None
            and standstill.until is None
            and self._now() - since > FORGOTTEN
            and counts.get(State.QUEUED, 0) > 0
        )
        age = f" (for {ago(self._now() - since)})" if since is not None else ""
        found = f"{standstill.reason.sentence.rstrip('.')}{age}. {_counted(counts)}"
        if not forgotten:
            return CheckResult(name=self.name, level="ok", found=found)
        return CheckResult(
            name=self.name,
            level="degraded",
            found=found,
            next_step=standstill.reason.next_step,
        )

    def _kept(self, waiting: Mapping[str, Reason]) -> CheckResult:
        """Tell of the jobs that something of the host's keeps, and of the first thing in full."""
        (job_id, reason), *others = waiting.items()
        number = len(others)
        more = (
            f" So do {number} more jobs."
            if number > 1
            else " So does another job."
            if number
            else ""
        )
        return CheckResult(
            name=self.name,
            level="degraded",
            found=f"Job {job_id[:8]} waits: {reason.sentence}{more}",
            next_step=reason.next_step or f"See: zoetrope job {job_id[:8]}",
        )


def _counted(counts: Mapping[State, int]) -> str:
    words = [
        f"{counts.get(state, 0)} {word}"
        for state, word in (
            (State.RUNNING, "running"),
            (State.QUEUED, "queued"),
            (State.REVIEW, "to review"),
        )
    ]
    return f"{', '.join(words)}."


def make(runtime: Runtime) -> QueueCheck:
    """Make the check."""
    return QueueCheck(runtime)
