"""Does an engine answer?"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...jobs.lane import LaneStatus
from ...runtime import Runtime
from ..base import Verdict, ago


class EngineCheck:
    """Looks at what the conductor knows of each engine; it asks them all the time anyway."""

    name = "engine"

    def __init__(self, runtime: Runtime, *, now: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._now = now

    async def look(self) -> Verdict:
        """Say which engines answer."""
        if self._runtime.conductor is None:
            return Verdict(
                name=self.name,
                level="degraded",
                found="No engine is asked while the service is not fully started.",
                next_step="Mend what the ledger check names; the engines come after it.",
            )
        lanes = self._runtime.conductor.status().lanes
        down = [lane for lane in lanes if not lane.up]
        if not down:
            return Verdict(
                name=self.name,
                level="ok",
                found="; ".join(_healthy(lane) for lane in lanes),
            )
        return Verdict(
            name=self.name,
            level="failing" if len(down) == len(lanes) else "degraded",
            found="; ".join(self._down(lane) for lane in down),
            next_step="; ".join(dict.fromkeys(_advice(lane) for lane in down)),
        )

    def _down(self, lane: LaneStatus) -> str:
        span = f" for {ago(self._now() - lane.since)}" if lane.since else ""
        why = lane.reason.sentence if lane.reason else "it does not answer."
        return f"{lane.name} at {lane.url} is down{span}: {why}"


def _healthy(lane: LaneStatus) -> str:
    stats = lane.stats
    if stats is None:
        return f"{lane.name} is up"
    kind = "simulated engine" if stats.simulated else "ComfyUI"
    device = f" on {stats.device}" if stats.device else ""
    return f"{lane.name} is up: {kind} {stats.version}{device}"


def _advice(lane: LaneStatus) -> str:
    if lane.reason and lane.reason.next_step:
        return lane.reason.next_step
    return f"Start it, or mend engines.url: systemctl list-units 'comfyui*'; curl {lane.url}/system_stats"


def make(runtime: Runtime) -> EngineCheck:
    """Make the check."""
    return EngineCheck(runtime)
