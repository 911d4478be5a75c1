"""Restarting an engine that only a new process can help: by systemd unit or by a command."""

from __future__ import annotations

import asyncio
import contextlib

from ..errors import EngineDown
from ..settings import Restart

TIMEOUT = 180.0
ASK_SECONDS = 10.0


def command_line(restart: Restart) -> tuple[str, ...]:
    """Say what is run to restart the engine."""
    if restart.unit:
        return ("systemctl", "restart", restart.unit)
    return restart.command or ()


async def restart_engine(restart: Restart) -> None:
    """Restart the engine; returns when the command has ended well."""
    line = command_line(restart)
    try:
        process = await asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineDown(
            f"The restart command {line[0]!r} cannot be run ({error.strerror}).",
            "Check engines.restart in the settings.",
            key="restart-failed",
        ) from error
    try:
        async with asyncio.timeout(TIMEOUT):
            _, told = await process.communicate()
    except TimeoutError as error:
        raise EngineDown(
            f"The restart command took longer than {TIMEOUT:g} s.",
            "Check the unit or the command of the engine.",
            key="restart-failed",
        ) from error
    finally:
        await _end(process)
    if process.returncode:
        words = told.decode(errors="replace").strip().splitlines()
        raise EngineDown(
            f"The restart command failed with {process.returncode}: {words[-1] if words else ''}",
            "Check that the service may restart the unit (polkit), or the command itself.",
            key="restart-failed",
        )


async def died_by_itself(restart: Restart | None) -> bool:
    """Tell whether the engine's present process took the place of one that died, and was not put there on purpose.

    systemd counts its own restarts of a unit, and begins again when someone restarts it. Where there is no one to
    ask, an engine that is gone has died.
    """
    if restart is None or not restart.unit:
        return True
    try:
        process = await asyncio.create_subprocess_exec(
            *("systemctl", "show", "--property=NRestarts", "--value", restart.unit),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return True
    try:
        async with asyncio.timeout(ASK_SECONDS):
            told, _ = await process.communicate()
    except TimeoutError:
        return True
    finally:
        await _end(process)
    count = told.decode(errors="replace").strip()
    return not count.isdecimal() or int(count) > 0


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a program that is still running, after its time limit or when the service stops."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
