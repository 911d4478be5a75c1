"""Can finished videos be put into the outbox?"""

from __future__ import annotations

from ...runtime import Runtime
from ..base import CheckResult


class OutboxCheck:
    """Looks at the outbox through the eyes of who puts videos there."""

    name = "outbox"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Say whether it is there, the folder that it was, and open; None before anybody looked."""
        if (conductor := self._runtime.conductor) is None:
            return None
        path = self._runtime.settings.outbox.path
        if (problem := conductor.status().outbox) is None:
            return CheckResult(name=self.name, level="ok", found=f"Videos are put into {path}.")
        return CheckResult(
            name=self.name,
            level="failing",
            found=f"Finished videos wait: {problem.sentence}",
            next_step=problem.next_step or f"Check the folder and its permissions: ls -ld {path}",
        )


def make(runtime: Runtime) -> OutboxCheck:
    """Make the check."""
    return OutboxCheck(runtime)
