"""The other end of the helper's socket: held open by the service while it works, opened for one question by the command line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import msgspec

from ..structs import UNREADABLE, primed
from .faults import GpuError
from .wire import LONGEST_ANSWER, Asked, HelperAnswer, encode

PATIENCE = 10.0


class HelperDown(GpuError):
    """The helper does not answer; no GPU is tuned by it."""

    key = "gpu-helper"


class HelperClient:
    """One connection, kept open, because what it asks for lasts as long as it does."""

    def __init__(self, path: Path) -> None:
        self.connections = 0  # so many there were; a new one has asked for nothing yet
        self._path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._one = asyncio.Lock()

    async def ask(self, question: Asked) -> HelperAnswer:
        """Ask, and give the answer; a refusal is in it, and HelperDown means that there is none."""
        async with self._one:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self._ask(question)
            except (OSError, EOFError, ValueError, *UNREADABLE) as error:
                self._drop()
                raise _down(self._path, error) from error
            except BaseException:
                # Half an answer must not become the next question's.
                self._drop()
                raise

    def close(self) -> None:
        """Let go: what was asked for ends."""
        self._drop()

    async def _ask(self, question: Asked) -> HelperAnswer:
        if self._streams is None or self._streams[0].at_eof():
            self._drop()
            self._streams = await asyncio.open_unix_connection(
                str(self._path), limit=LONGEST_ANSWER
            )
            self.connections += 1
        reader, writer = self._streams
        writer.write(encode(question))
        await writer.drain()
        return _read(await reader.readuntil(b"\n"))

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def ask_once(path: Path, question: Asked) -> HelperAnswer:
    """Ask one question without an event loop."""
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            connection.sendall(encode(question))
            with connection.makefile("rb") as answers:
                return _read(answers.readline(LONGEST_ANSWER))
    except (OSError, EOFError, ValueError, *UNREADABLE) as error:
        raise _down(path, error) from error


def _read(line: bytes) -> HelperAnswer:
    if not line.endswith(b"\n"):
        raise EOFError("the connection was closed")
    return msgspec.json.decode(line, type=primed(HelperAnswer))


def _down(path: Path, error: BaseException) -> HelperDown:
    if isinstance(error, PermissionError):
        return HelperDown(
            f"You may not use {path}.", "Become a member of the group zoetrope-gpu, or root.", key="gpu-permission"
        )  # fmt: skip
    if isinstance(error, FileNotFoundError):
        return HelperDown(
            f"There is no GPU helper at {path}.",
            "Start it: systemctl enable --now zoetrope-gpu.socket",
        )
    what = getattr(error, "strerror", None) or str(error) or "timeout"
    return HelperDown(
        f"The GPU helper at {path} does not respond ({what}).",
        "See: systemctl status zoetrope-gpu.service",
    )
