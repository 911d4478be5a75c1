"""Does heat slow a GPU down?"""

from __future__ import annotations

from ...runtime import Runtime
from ..base import CheckResult


class HeatCheck:
    """Reads why each GPU runs slower than it could."""

    name = "heat"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Say how warm the GPUs are, and which of them heat slows down."""
        tuner = self._runtime.tuner
        if tuner is None or not tuner.watch.cards:
            return None
        warm: list[str] = []
        hot: list[str] = []
        for card in tuner.watch.cards:
            reading = tuner.watch.latest.get(card.uuid)
            if reading is None or reading.celsius is None:
                continue
            told = f"{card.short}: {reading.celsius} °C"
            if reading.hot and reading.core_mhz is not None:
                told += f", throttled to {reading.core_mhz} MHz"
            (hot if reading.hot else warm).append(told)
        if hot:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"{'; '.join(hot)}.",
                next_step="Clean its filters and improve the airflow, or set a lower max_core_mhz or power_limit_w"
                " in its profile: lower temperature, and steadier durations.",
            )
        return CheckResult(name=self.name, level="ok", found=f"{'; '.join(warm) or 'Not known'}.")


def make(runtime: Runtime) -> HeatCheck:
    """Make the check."""
    return HeatCheck(runtime)
