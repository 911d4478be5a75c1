"""Does every Blackwell GPU have a baseline?"""

from __future__ import annotations

from ...gpu.profile import declared
from ...runtime import Runtime
from ..base import CheckResult

ARCHITECTURE = "Blackwell"


class BaselineCheck:
    """Looks for GPUs that draw full power for hours, where a limit costs little time."""

    name = "baseline"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Name the GPUs that want a working profile and have none."""
        tuner = self._runtime.tuner
        if tuner is None:
            return None
        cards = [card for card in tuner.watch.cards if card.architecture == ARCHITECTURE]
        if not cards:
            return None
        settings = self._runtime.settings.gpu
        bare = [card for card in cards if not declared(card, settings)[0]]
        if not bare:
            names = {card.short: declared(card, settings)[0] for card in cards}
            told = ", ".join(f"{card} runs at {profile}" for card, profile in names.items())
            return CheckResult(name=self.name, level="ok", found=f"{told}.")
        card = bare[0]
        # A report of one 5090: at most 2100 MHz took 19 % off the energy and 20 % off the speed.
        high = round(card.core.high * 0.85 / 15) * 15 if card.core else 2600
        return CheckResult(
            name=self.name,
            level="degraded",
            found=f"{', '.join(card.short for card in bare)} runs at stock clocks and full power.",
            next_step="Add a profile, and set it as the working one: [gpu.profiles.baseline]"
            f' max_core_mhz = {high}, and [gpu] working = ["baseline"]; see docs/gpu.md.',
        )


def make(runtime: Runtime) -> BaselineCheck:
    """Make the check."""
    return BaselineCheck(runtime)
