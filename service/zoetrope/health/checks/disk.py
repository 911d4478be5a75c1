"""Is there room on the disks, and may they be written?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from ...errors import Reason
from ...jobs.keep import amount, announced, described, next_removal, sums
from ...jobs.keep_book import read
from ...jobs.room import Disk, first_short, look, shortage
from ...runtime import Runtime
from ...settings import Settings
from ..base import CheckResult

NO_FOLDER = "is not a folder"
CLOSED = "is not writable by the user of the service"


class DiskCheck:
    """Looks at the file systems of state, inbox and outbox."""

    name = "disk"

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings  # asked at each look: a reload may change them

    async def look(self) -> CheckResult:
        """Say which folder is missing, closed or short of room."""
        settings = self._settings()
        folders = {
            "state": settings.state.path,
            "inbox": settings.inbox.path,
            "outbox": settings.outbox.path,
        }
        # In a thread: a share whose server is gone blocks whoever asks about it.
        room = await asyncio.to_thread(
            lambda: {name: _look(path, settings) for name, path in folders.items()}
        )
        for name, found in room.items():
            if isinstance(found, str):
                path = folders[name]
                step = _step(found, path)
                return CheckResult(
                    name=self.name,
                    level="failing",
                    found=f"{name}.path {path} {found}.",
                    next_step=step,
                )
        disks = [found for found in room.values() if isinstance(found, Disk)]
        tightest = min(disks, key=lambda disk: disk.free)
        short, kept = await asyncio.to_thread(_more, tightest, settings)
        if short is not None:
            return CheckResult(
                name=self.name, level="failing", found=short.sentence, next_step=short.next_step
            )
        left, path = amount(tightest.free), tightest.folder
        if tightest.low:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"{left} are left on {path}; at {amount(tightest.needed)} the queue pauses{kept}.",
                next_step=f"Free disk space soon: du -xh {path} | sort -h | tail",
            )
        found = f"{left} are free on {path}, the fullest{kept}."
        return CheckResult(name=self.name, level="ok", found=found)


def _more(disk: Disk, settings: Settings) -> tuple[Reason | None, str]:
    """Say whether a disk is short of room, also where work has a disk of its own, and what is kept."""
    short = shortage(disk, settings) or first_short(settings, settings.work)
    book = read(settings.keep_book)
    kept, due = described(sums(book), book.wall), next_removal(book, settings.keep)
    told = [f"kept for a time: {kept}"] if kept else []
    told += [announced(due)] if due else []
    return short, "".join(f"; {each}" for each in told)


def _step(found: str, path: Path) -> str:
    """Say what to do about a folder that cannot be used."""
    if found == NO_FOLDER:
        return f"Move the file away: mv {path} {path}.away; then create the folder."
    if found == CLOSED:
        return (
            f"Let the user of the service write there, or mount it read-write: ls -ld {path};"
            f" findmnt -T {path}"
        )
    # Below an absent mount a new folder would only hide what is wrong.
    return (
        "Put it back, or mount what holds it; one that never was there, create so that the user of the"
        f" service can write in it: install -d -m 2770 {path}"
    )


def _look(path: Path, settings: Settings) -> Disk | str:
    """Look at the disk of a folder, or say what is wrong with the folder."""
    try:
        found = look(path, settings)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not path.is_dir():
        return NO_FOLDER
    if not os.access(path, os.W_OK | os.X_OK):
        return CLOSED
    return found


def make(runtime: Runtime) -> DiskCheck:
    """Make the check."""
    return DiskCheck(lambda: runtime.settings)
