"""The state folder: ledger, work and login key are for the service's user alone, whatever its umask is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .settings import Settings

log = logging.getLogger("zoetrope.state")

# A share may lie inside, and its server may not answer: what waits for that is not the start.
PATIENCE = 5.0

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


async def close_in_time(settings: Settings) -> None:
    """Close the state folder as `close` does, without waiting long for it; it goes on beside the service then."""
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(close, settings)
    except TimeoutError:
        log.warning(
            "a folder of the settings does not answer; %s is closed to other users when it does",
            settings.state.path,
            extra={"action": "state-open"},
        )


def close(settings: Settings) -> None:
    """Close the state folder to all other users; one that holds the share stays open, and what else is in it not.

    The service's umask is that of the share, whose members would else read and change its work. What is not
    ours, or cannot be closed, is left as it is.
    """
    state = settings.state.path
    # Its ledger says what is wrong with a folder that cannot be made.
    with contextlib.suppress(OSError):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    models = (settings.models.path, *settings.models.folders)
    used = [each for each in (settings.inbox.path, settings.outbox.path, *models) if each]
    folder = Path(os.path.realpath(state))
    if state not in used:
        # Before a look at any other folder: one of a share that hangs leaves nothing open to be written.
        with _said(folder):
            _tighten(folder, stat.S_IWGRP | stat.S_IWOTH)
    _close(folder, [Path(os.path.realpath(path)) for path in used])


def _close(folder: Path, open_to_others: list[Path]) -> None:
    if folder in open_to_others:
        return
    with _said(folder):
        if not any(path.is_relative_to(folder) for path in open_to_others):
            _tighten(folder, _OTHERS)
            return
        # Others walk through it, and put nothing in the place of what is closed.
        _tighten(folder, stat.S_IWGRP | stat.S_IWOTH)
        for each in folder.iterdir():
            _close(each, open_to_others)


@contextlib.contextmanager
def _said(folder: Path) -> Iterator[None]:
    """Say that a folder cannot be closed, and go on."""
    try:
        yield
    except OSError as error:
        log.warning(
            "%s cannot be closed to other users: %s",
            folder,
            error.strerror,
            extra={"action": "state-open"},
        )


def _tighten(path: Path, without: int) -> None:
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode) or not mode & without:
        return
    if found.st_uid == os.geteuid():
        path.chmod(mode & ~without)
