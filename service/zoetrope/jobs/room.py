"""Room on the disks, judged in one place for queue, inbox and health: while one is short of it, nothing new is started, and no job fails for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import Reason
from ..settings import Settings
from .keep import KeptKind, amount, described, setting_of, sums
from .keep_book import read

log = logging.getLogger("zoetrope.jobs")

DISK_SECONDS = 10.0


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The disk that a folder lies on: how much of it is free, and how much has to be, in bytes."""

    folder: Path
    free: int
    needed: int

    @property
    def short(self) -> bool:
        """Whether less is free than has to be."""
        return self.free < self.needed

    @property
    def low(self) -> bool:
        """Whether it will soon be short."""
        return self.free < 2 * self.needed


def look(folder: Path, settings: Settings) -> Disk:
    """Look at the disk of a folder; a folder that cannot be asked about is an OSError."""
    found = os.statvfs(folder)
    return Disk(
        folder=folder,
        free=found.f_bavail * found.f_frsize,
        needed=settings.state.min_free_megabytes * 1_000_000,
    )


def shortage(disk: Disk, settings: Settings) -> Reason | None:
    """Say that a disk is short of room, what of it retention holds, and what to do; None if it is not short."""
    if not disk.short:
        return None
    # A full inbox keeps people from dropping pictures, and nothing of ours from going on.
    waits = "" if disk.folder == settings.inbox.path else ", so nothing new is started"
    return Reason(
        "disk-full",
        f"{amount(disk.free)} are free on {disk.folder}, less than the {amount(disk.needed)} of"
        f" state.min_free_megabytes{waits}.",
        f"Free some space: du -xh {disk.folder} | sort -h | tail; {_kept_there(disk, settings)}"
        "it goes on by itself.",
    )


def first_short(settings: Settings, *folders: Path) -> Reason | None:
    """Say which of some folders lies on a disk that is short of room; one that is missing is not."""
    for folder in folders:
        with contextlib.suppress(OSError):
            if (reason := shortage(look(folder, settings), settings)) is not None:
                return reason
    return None


def _kept_there(disk: Disk, settings: Settings) -> str:
    """Say what retention keeps on a disk, and which setting lets it go sooner."""
    homes = {
        KeptKind.WORK: settings.work,
        KeptKind.REJECTED: settings.inbox.path,
        KeptKind.OUTBOX: settings.outbox.path,
    }
    steps = []
    for found in sums(read(settings.keep_book)):
        with contextlib.suppress(OSError):
            if homes[found.kind].stat().st_dev == disk.folder.stat().st_dev:
                setting = setting_of(found.kind, settings.keep)
                steps.append(f"or lower {setting} and reload: it keeps {described([found])} there")
    return "".join(f"{step}; " for step in steps)


class Room:
    """Looks at the disks of state and outbox, and says why the queue waits if it does."""

    def __init__(self, settings: Settings, resumed: Callable[[], None]) -> None:
        self._settings = settings
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
        settings = self._settings
        folders = (settings.state.path, settings.work, settings.outbox.path)
        while True:
            short = await asyncio.to_thread(first_short, settings, *folders)
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
