"""Are the GPUs there that engines work on, and does their driver answer?"""

from __future__ import annotations

from ...runtime import Runtime
from ..base import CheckResult


class CardCheck:
    """Compares the GPUs that the settings name with those that the driver shows."""

    name = "card"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Say which GPUs there are; a host without one has nothing to say, unless an engine names one."""
        tuner = self._runtime.tuner
        if tuner is None or not tuner.watch.looked.is_set():
            return None
        watch, settings = tuner.watch, self._runtime.settings
        named = {engine.gpu: engine.name for engine in settings.engines if engine.gpu is not None}
        if watch.problem is not None:
            reason = watch.problem
            return self._failing(reason.sentence, reason.next_step)
        if watch.lost:
            reasons = list(watch.lost.values())
            names = ", ".join(card.short for card in watch.cards if card.uuid in watch.lost)
            return self._failing(f"{names}: {reasons[0].sentence}", reasons[0].next_step)
        missing = {uuid: name for uuid, name in named.items() if watch.card(uuid) is None}
        if missing:
            told = ", ".join(f"{name} ({uuid})" for uuid, name in missing.items())
            return self._failing(
                f"The GPU of {told} was not found.",
                "List the GPUs: nvidia-smi -L; then fix engines[].gpu, or check the GPU.",
            )
        if not watch.cards:
            return None
        told = ", ".join(f"{card.short} (driver {card.driver})" for card in watch.cards)
        unnamed = [engine.name for engine in settings.engines if engine.gpu is None]
        if tuner.wanted and len(watch.cards) > 1 and unnamed:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"{told}. No setting says which of them {', '.join(unnamed)} uses,"
                " so it is neither tuned nor measured.",
                next_step="Set its GPU in the settings: engines[].gpu (nvidia-smi -L).",
            )
        return CheckResult(name=self.name, level="ok", found=f"{told}.")

    def _failing(self, found: str, next_step: str) -> CheckResult:
        return CheckResult(name=self.name, level="failing", found=found, next_step=next_step)


def make(runtime: Runtime) -> CardCheck:
    """Make the check."""
    return CardCheck(runtime)
