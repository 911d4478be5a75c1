"""The flags of the memory budget: worked out for the recipes of this host, and asked of each engine's next start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from ..domain.values import Ticket
from ..engine.flag_request import Asked, FlagRequests, line
from ..engine.report import EngineReport, known
from ..errors import Reason, ZoetropeError
from ..graphs.catalog import PINNED
from ..graphs.shelf import Recipes
from ..settings import EngineSettings, Settings
from . import host_memory
from .memory_budget import Budget, HostMemory, StageMemory, choose, gib
from .preflight import requests
from .stage_memory import Sizes, stage_memory

log = logging.getLogger("zoetrope.jobs")


# Another version of ComfyUI may be started at any time, and by others than the service.
RENEWED_SECONDS = 30.0


class FlagBudget:
    """Knows what each engine's memory allows; it speaks of engines whose start can be asked for flags."""

    def __init__(
        self,
        settings: Settings,
        recipes: Recipes,
        *,
        memory: Callable[[str], HostMemory | None] = host_memory.read,
    ) -> None:
        self._settings = settings
        self._recipes = recipes
        self._memory = memory
        self.engines = tuple(each for each in settings.engines if each.flag_request is not None)
        # What each engine's flags were worked out from; nothing where they could not be asked for.
        self._basis: dict[str, tuple[str, str]] = {}
        self._refused: set[str] = set()

    def of(self, engine: EngineSettings) -> Budget | Reason:
        """Work out an engine's budget, or say why it cannot be."""
        unit = engine.restart.unit if engine.restart is not None else None
        host = self._memory(unit or "")
        if host is None:
            return Reason("memory-unknown", "The kernel does not say how much memory the host has.")
        found = known(engine.report)
        try:
            stages = list(self._stages(found))
        except ZoetropeError as error:
            return error.reason
        unknown = sorted({path for each in stages for path, size in each.files.items() if not size})
        if unknown or not stages:
            what = f"the size of {', '.join(unknown)}" if unknown else "any stage"
            return Reason(
                "memory-unknown",
                f"The memory that the recipes need cannot be worked out: {what} is not known.",
                "Give `bytes` in models.extra for a file of your own.",
            )
        version = found.comfyui if found is not None and found.comfyui else PINNED
        return choose(host, stages, version)

    async def run(self, flag_requests: FlagRequests) -> None:
        """Ask again where an engine was started in another version, or could not be asked; until cancelled."""
        while True:
            await asyncio.sleep(RENEWED_SECONDS)
            await asyncio.to_thread(self.ask, flag_requests)

    def ask(self, flag_requests: FlagRequests) -> None:
        """Ask for the flags of each engine's budget that is new; without one, what was asked for before stays."""
        for engine in self.engines:
            found = known(engine.report)
            basis = (found.comfyui, found.memory) if found is not None else ("", "")
            if self._basis.get(engine.name) == basis:
                continue
            budget = self.of(engine)
            self._basis[engine.name] = basis
            if isinstance(budget, Reason):
                about = {"action": "budget-unknown", "engine": engine.name}
                log.warning("%s: %s", engine.name, budget, extra=about)
                continue
            asked = [
                Asked(by="budget", words=words, reason=line(str(budget))) for words in budget.flags
            ]
            try:
                flag_requests.replace(engine.name, "budget", asked)
                self._refused.discard(engine.name)
            except OSError as error:
                del self._basis[engine.name]
                if engine.name not in self._refused:
                    about = {"action": "flag-request-failed", "engine": engine.name}
                    log.warning("%s cannot be asked for flags: %s", engine.name, error, extra=about)
                self._refused.add(engine.name)

    def _stages(self, found: EngineReport | None) -> Iterator[StageMemory]:
        sizes = Sizes(self._settings.models)
        wanted = self._settings.models.recipes
        size = found.memory if found is not None else ""
        for name in (self._settings.recipes.default,) if wanted is None else wanted:
            recipe = self._recipes.get(name)
            gigabytes = float(size) if size.isdecimal() else 0.0
            for request in requests(recipe, Ticket(recipe=name), gigabytes):
                yield stage_memory(request, sizes)


def shortfall(budget: Budget) -> Reason:
    """Say that a stage does not fit under any profile, with the numbers and what helps."""
    return Reason(
        "host-memory",
        f"{budget}: {gib(budget.need - budget.room)} are missing, whatever ComfyUI is started with.",
        "Give the host that much more memory or swap, raise MemoryMax of ComfyUI's unit where it is set, or let the"
        " recipe's defaults ask for a smaller size or fewer frames.",
    )
