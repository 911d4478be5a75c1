"""Does work wait that the ledger knows nothing of?"""

from __future__ import annotations

from ...runtime import Runtime
from ..base import CheckResult


class LostCheck:
    """Counts what lies in lost+found."""

    name = "lost"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Say how much lost work waits; None while none does."""
        readmission = self._runtime.readmission
        if readmission is None or not (count := await readmission.count()):
            return None
        work = "The work of 1 job waits" if count == 1 else f"The work of {count} jobs waits"
        return CheckResult(
            name=self.name,
            level="degraded",
            found=f"{work} in {self._runtime.settings.lost}: the ledger has no rows for it.",
            next_step="`zoetrope recover` lists it, and makes jobs of it again; `zoetrope recover"
            " --discard ID` removes the rest. Nothing does so by itself.",
        )


def make(runtime: Runtime) -> LostCheck:
    """Make the check."""
    return LostCheck(runtime)
