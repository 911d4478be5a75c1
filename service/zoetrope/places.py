"""Places: how many processes that open pictures and videos work at once, shared fairly between the two."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator
from enum import StrEnum

# A check of 161 frames of 1080x1578 peaks at 0.6 GiB; ComfyUI needs the host's memory for its models.
MEMORY_EACH = 2 << 30
FEWEST = 2


class Kind(StrEnum):
    """What a process opens: a picture takes moments, a video up to minutes."""

    PICTURE = "picture"
    VIDEO = "video"


def fitting(cores: int, memory: int) -> int:
    """Say how many places a host of so many cores and bytes of memory has.

    One more than can work at full speed, since one is kept for each kind: the other kind still uses every core.
    """
    return max(FEWEST, min(cores, memory // MEMORY_EACH) + 1)


class Places:
    """Gives places in the order in which they are asked for.

    One place is kept for each kind: pictures of the inbox do not wait until many videos are checked, nor a video
    until a full inbox is empty.
    """

    def __init__(self, number: int) -> None:
        self.number = max(FEWEST, number)
        self._taken = dict.fromkeys(Kind, 0)
        self._waiting: dict[Kind, deque[asyncio.Future[None]]] = {kind: deque() for kind in Kind}

    @classmethod
    def of_host(cls) -> Places:
        """Make as many as this host has."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(fitting(len(os.sched_getaffinity(0)), memory))

    @contextlib.asynccontextmanager
    async def take(self, kind: Kind) -> AsyncIterator[None]:
        """Wait for a place, and have it while the block runs."""
        await self._enter(kind)
        try:
            yield
        finally:
            self._leave(kind)

    def _has_room(self, kind: Kind) -> bool:
        return sum(self._taken.values()) < self.number and self._taken[kind] < self.number - 1

    async def _enter(self, kind: Kind) -> None:
        if not self._waiting[kind] and self._has_room(kind):
            self._taken[kind] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[kind].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting[kind].remove(turn)
            else:
                self._leave(kind)  # its turn came at the same moment
            raise

    def _leave(self, kind: Kind) -> None:
        self._taken[kind] -= 1
        # The quicker kind first.
        for each in (Kind.PICTURE, Kind.VIDEO):
            while self._waiting[each] and self._has_room(each):
                turn = self._waiting[each].popleft()
                if not turn.done():
                    self._taken[each] += 1
                    turn.set_result(None)
