"""Room on the disks: while one is short of it, nothing new is started, and no job fails for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import Reason

log = logging.getLogger("zoetrope.jobs")

DISK_SECONDS = 10.0


class Room:
    """Looks at the disks of some folders, and says why the queue waits if it does."""

    def __init__(self, folders: Sequence[Path], floor: int, resumed: Callable[[], None]) -> None:
        self._folders = folders
        self._floor = floor  # bytes that are kept free
        self._tell = resumed
        self._there = asyncio.Event()
        self._there.set()
        self.short: Reason | None = None

    def used_up(self) -> None:
        """Somebody met a full disk: nothing new until the next look finds room."""
        self._set(
            Reason(
                "disk-full",
                "A disk is full, so the queue waits.",
                "Free some space; it goes on by itself.",
            )
        )

    async def wait(self) -> None:
        """Wait until there is room."""
        await self._there.wait()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            short = await asyncio.to_thread(_short_of_space, self._folders, self._floor)
            if short is not None:
                self._set(short)
            elif self.short is not None:
                self.short = None
                self._there.set()
                log.info("the queue goes on", extra={"action": "resumed"})
                self._tell()
            await asyncio.sleep(DISK_SECONDS)

    def _set(self, reason: Reason) -> None:
        if self.short is None:
            log.warning("%s", reason, extra={"action": "paused"})
        self.short = reason
        self._there.clear()


def _short_of_space(folders: Sequence[Path], floor: int) -> Reason | None:
    for folder in folders:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(folder).free
            if free < floor:
                return Reason(
                    "disk-full",
                    f"Only {free // 1_000_000} MB are free at {folder}, so the queue waits.",
                    f"Free some space (at least {floor // 1_000_000} MB are kept free);"
                    " it goes on by itself.",
                )
    return None
