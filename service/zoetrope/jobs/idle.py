"""The memory of an idle engine: looked at now and then, and given back when nobody needs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

import msgspec

from ..dispatch.idle import Idleness, is_due, seen
from ..engine.protocol import Engine, Stats
from ..errors import EngineDown, EngineRefused

log = logging.getLogger("zoetrope.jobs")

LOOK_SECONDS = 30.0
SOON = 5.0  # the same in a standstill, when somebody may want the GPU


class IdleMemory:
    """Has one engine's memory freed after a while without work, and at once in a standstill."""

    def __init__(
        self,
        engine: Engine,
        *,
        after: float | None,
        stats: Callable[[], Stats | None],
        ours: Callable[[], int],
        standstill: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._after = after
        self._stats = stats
        self._ours = ours
        self._standstill = standstill
        self._clock = clock
        self._idle = Idleness(since=clock())
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SOON if self._standstill() else LOOK_SECONDS):
                    await self._woken.wait()
            await self.look()

    def wake(self) -> None:
        """Have it looked at now: a standstill may have begun."""
        self._woken.set()

    async def look(self) -> None:
        """Look once, and free the memory if it is due; an engine that is down has none, nor has a simulated one."""
        self._see(others=0)
        stats = self._stats()
        wanted = self._standstill() or self._after is not None
        if self._idle.freed or not wanted or stats is None or stats.simulated:
            return
        try:
            queue = await self._engine.queue()
            self._see(others=max(0, len(queue) - self._ours()))
            if self._due():
                await self._engine.free()
        except (EngineDown, EngineRefused):
            return
        if self._due():
            self._idle = msgspec.structs.replace(self._idle, freed=True)
            log.info(
                "%s is idle: its memory is freed",
                self._engine.name,
                extra={"action": "memory-freed", "engine": self._engine.name},
            )

    def _see(self, *, others: int) -> None:
        self._idle = seen(self._idle, self._clock(), ours=self._ours(), others=others)

    def _due(self) -> bool:
        return is_due(self._idle, self._clock(), after=self._after, standstill=self._standstill())
