"""Does the host's memory suffice for the recipes of this host?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import Reason
from ...jobs import host_memory
from ...jobs.flag_budget import FlagBudget, shortfall
from ...jobs.memory_budget import HostMemory
from ...runtime import Runtime
from ..base import CheckResult


class MemoryCheck:
    """Works the budget out anew, from what the kernel and the recipes say now."""

    name = "memory"

    def __init__(
        self, runtime: Runtime, memory: Callable[[str], HostMemory | None] = host_memory.read
    ) -> None:
        self._runtime = runtime
        self._memory = memory

    async def look(self) -> CheckResult | None:
        """Say what ComfyUI needs and keeps on each engine, and which stage does not fit."""
        recipes = self._runtime.recipes
        if recipes is None:
            return None
        budget = FlagBudget(self._runtime.settings, recipes, memory=self._memory)
        if not budget.engines:
            return None
        return await asyncio.to_thread(_look, budget)


def _look(budget: FlagBudget) -> CheckResult:
    fine: list[str] = []
    wrong: list[Reason] = []
    for engine in budget.engines:
        found = budget.of(engine)
        if isinstance(found, Reason):
            fine.append(f"{engine.name}: {found.sentence}")
        elif found.fits:
            fine.append(f"{engine.name}: {found}.")
        else:
            reason = shortfall(found)
            wrong.append(Reason(reason.key, f"{engine.name}: {reason.sentence}", reason.next_step))
    return CheckResult(
        name="memory",
        level="degraded" if wrong else "ok",
        found=" ".join([each.sentence for each in wrong] or fine),
        next_step=" ".join(dict.fromkeys(each.next_step for each in wrong)),
    )


def make(runtime: Runtime) -> MemoryCheck:
    """Make the check."""
    return MemoryCheck(runtime)
