"""Is there room on the disks, and may they be written?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from ...runtime import Runtime
from ...settings import Settings
from ..base import Verdict

NO_FOLDER = "is no folder"
MEGABYTE = 1_000_000  # as the conductor counts when it pauses the queue


class DiskCheck:
    """Looks at the file systems of state, inbox and outbox."""

    name = "disk"

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings  # asked at each look: a reload may change them

    async def look(self) -> Verdict:
        """Say which folder is missing, closed or short of room."""
        settings = self._settings()
        least = settings.state.min_free_megabytes
        folders = {
            "state": settings.state.path,
            "inbox": settings.inbox.path,
            "outbox": settings.outbox.path,
        }
        # In a thread: a share whose server is gone blocks whoever asks about it.
        room = await asyncio.to_thread(
            lambda: {name: _free(path) for name, path in folders.items()}
        )
        for name, found in room.items():
            if isinstance(found, str):
                path = folders[name]
                step = f"Make it, and let the service's user write there: install -d -m 2770 {path}"
                if found == NO_FOLDER:
                    step = (
                        f"Move away what lies there: mv {path} {path}.away; then make the folder."
                    )
                return Verdict(
                    name=self.name,
                    level="failing",
                    found=f"{name}.path {path} {found}.",
                    next_step=step,
                )
        free = {name: found for name, found in room.items() if isinstance(found, int)}
        tightest = min(free, key=lambda name: free[name])
        left, path = free[tightest], folders[tightest]
        if left < least:
            return Verdict(
                name=self.name,
                level="failing",
                found=f"{_size(left)} are free on {path}, less than the {_size(least)} of state.min_free_megabytes.",
                next_step=f"Free some space: du -xh {path} | sort -h | tail; the queue goes on by itself.",
            )
        if left < 2 * least:
            return Verdict(
                name=self.name,
                level="degraded",
                found=f"{_size(left)} are left on {path}; at {_size(least)} the queue pauses.",
                next_step=f"Free some space soon: du -xh {path} | sort -h | tail",
            )
        return Verdict(
            name=self.name, level="ok", found=f"{_size(left)} are free on {path}, the fullest."
        )


def _free(path: Path) -> int | str:
    """Give the free megabytes of a folder, or what is wrong with it."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not path.is_dir():
        return NO_FOLDER
    if not os.access(path, os.W_OK | os.X_OK):
        return "cannot be written by the service's user"
    return found.f_bavail * found.f_frsize // MEGABYTE


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def make(runtime: Runtime) -> DiskCheck:
    """Make the check."""
    return DiskCheck(lambda: runtime.settings)
