"""Is the clock to be believed?"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ...domain.query import JobQuery
from ...errors import ZoetropeError
from ...runtime import Runtime
from ..base import CheckResult, ago

# A host without a battery for its clock begins in 1970, or when its image was made.
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
STEP = 60.0  # seconds between wall and uptime that no slewing makes
AHEAD = 60.0  # seconds that a row may come from the future
TOLD = 3600.0  # seconds for which a jump is told


class Jump(msgspec.Struct, frozen=True):
    """A step of the wall clock."""

    seconds: float  # forward, or back where negative
    noticed: float  # by the uptime


def uptime() -> float:
    """Give the seconds since the host started, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockCheck:
    """Compares the wall clock with the uptime, and with the newest row of the ledger."""

    name = "clock"

    def __init__(
        self,
        runtime: Runtime,
        *,
        now: Callable[[], float] = time.time,
        uptime: Callable[[], float] = uptime,
    ) -> None:
        self._runtime = runtime
        self._now = now
        self._uptime = uptime
        self._base = now() - uptime()  # when the host started, by the wall clock
        self._jump: Jump | None = None

    async def look(self) -> CheckResult:
        """Say whether the clock jumped, is absurd, or lags behind what the ledger knows."""
        now = self._now()
        self._compare(now)
        if now < EARLIEST:
            shown = datetime.fromtimestamp(now, UTC).date().isoformat()
            return self._wrong(f"The clock shows {shown}.")
        if (ahead := await self._newest() - now) > AHEAD:
            return self._wrong(
                f"The newest job was submitted {ago(ahead)} in the future: the clock was ahead then, or is behind now."
            )
        if self._jump is not None:
            way = "forward" if self._jump.seconds > 0 else "back"
            return self._wrong(
                f"The clock jumped {way} by {ago(abs(self._jump.seconds))};"
                f" noticed {ago(self._uptime() - self._jump.noticed)} ago."
            )
        return CheckResult(name=self.name, level="ok", found="It is steady.")

    def _compare(self, now: float) -> None:
        """Notice a jump, go by the new time from then on, and forget the jump after a while."""
        up = self._uptime()
        step = now - up - self._base
        if abs(step) > STEP:
            self._jump = Jump(step, up)
            self._base += step
        elif self._jump is not None and up - self._jump.noticed > TOLD:
            self._jump = None

    async def _newest(self) -> float:
        """Say when the newest job was written, as far as the ledger can be asked."""
        if (ledger := self._runtime.ledger) is None:
            return 0.0
        try:
            rows = await ledger.page(JobQuery(limit=1))
        except ZoetropeError:
            return 0.0  # the ledger's own check speaks of it
        return max((max(row.job.created, row.job.updated) for row in rows), default=0.0)

    def _wrong(self, found: str) -> CheckResult:
        return CheckResult(
            name=self.name,
            level="degraded",
            found=found,
            next_step="Synchronize it over the network: timedatectl set-ntp true; timedatectl. The"
            " durations of running jobs are wrong until they end.",
        )


def make(runtime: Runtime) -> ClockCheck:
    """Make the check."""
    return ClockCheck(runtime)
