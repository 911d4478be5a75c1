"""Before a stage is sent to an engine of this host: does it fit into the host's memory, now or ever?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..engine.protocol import Engine, Stats
from ..engine.report import known
from ..errors import EngineRefused, Reason
from ..lint.findings import Finding
from ..settings import Settings
from . import host_memory
from .fallbacks import MORE, OTHER_FLAGS, TOO_LARGE, TOO_LARGE_AS_STARTED
from .hand_over import NotSent
from .memory_budget import HostMemory, gib
from .stage_memory import Fit, Sizes, fit, stage_memory
from .stage_request import StageRequest

BUSY = "host-memory-busy"


async def _nothing(_: str) -> None:
    """There is no other engine."""


class MemoryGate:
    """Knows engines by their reports: one without any may run elsewhere, at the other end of a tunnel, and is not judged."""

    def __init__(
        self,
        settings: Settings,
        *,
        note: Callable[[str, str], None] = lambda *_: None,
        free_others: Callable[[str], Awaitable[None]] = _nothing,
        memory: Callable[[str], HostMemory | None] = host_memory.read,
    ) -> None:
        self._settings = settings
        self._engines = {each.name: each for each in settings.engines if each.report is not None}
        # Of an engine of this host that is about to be sent a stage, by name and address.
        self._note = note
        self._free_others = free_others
        self._memory = memory

    async def check(self, engine: Engine, stats: Stats, request: StageRequest) -> None:
        """Raise NotSent while other programs hold the memory that a stage needs, EngineRefused if it cannot fit."""
        if stats.simulated or not engine.here:
            return
        await asyncio.to_thread(self._note, engine.name, engine.url)
        found = await asyncio.to_thread(self.fit, request, engine.name)
        if found is None or found.fits:
            return
        if found.later:
            reason = busy(found)
            # Another engine that has nothing to do keeps what its last job loaded.
            await self._free_others(engine.name)
            raise NotSent(reason.sentence, reason.next_step, key=reason.key)
        reason = too_large(found)
        raise EngineRefused(reason.sentence, reason.next_step, key=reason.key)

    def fit(self, request: StageRequest, engine: str) -> Fit | None:
        """Work out whether a stage fits; None where the host's memory or the engine's start is not known."""
        settings = self._engines.get(engine)
        found = known(settings.report) if settings is not None else None
        if settings is None or found is None:
            return None
        unit = settings.restart.unit if settings.restart is not None else None
        host = self._memory(unit or "")
        if host is None:
            return None
        return fit(stage_memory(request, Sizes(self._settings.models)), host, found)

    def finding(self, request: StageRequest, engine: str) -> Finding | None:
        """Say before anything is made that a stage will not fit on this host; what is busy now may not be later."""
        found = self.fit(request, engine)
        if found is None or found.need <= found.room or found.fits:
            return None
        reason = too_large(found)
        return Finding(
            rule=TOO_LARGE,
            severity="warn",
            found=reason.sentence,
            why="What does not fit is not sent to ComfyUI: the kernel would end it, or another program.",
            fix=reason.next_step,
            source="docs/nixos.md, ComfyUI's flags",
        )


def busy(found: Fit) -> Reason:
    """Say what a stage waits for that fits on this host."""
    now = found.now or 0
    return Reason(
        BUSY,
        f"{found}, and other programs leave {gib(now)}: {gib(found.need - now)} are missing now.",
        f"Close what else needs memory: the host has {gib(found.room)} for ComfyUI. The stage is sent by itself then.",
    )


def too_large(found: Fit) -> Reason:
    """Say that a stage cannot fit, whether other flags would help, and what does."""
    if found.restarted:
        return Reason(
            TOO_LARGE_AS_STARTED,
            f"{found}, and the host has {gib(found.room)} for ComfyUI; with flags that save memory it needs"
            f" {gib(found.least)}.",
            OTHER_FLAGS,
        )
    return Reason(
        TOO_LARGE,
        f"{found}, and the host has {gib(found.room)} for ComfyUI: {gib(found.short)} are missing, whatever ComfyUI"
        " is started with.",
        MORE,
    )
