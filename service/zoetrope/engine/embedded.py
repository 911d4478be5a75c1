"""The rehearsal engine as a child of the service: engine url `rehearsal:`, for hosts without a GPU."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from ..errors import EngineDown
from ..settings import EngineSettings
from .comfyui import ComfyEngine

log = logging.getLogger("zoetrope.engine")

SCHEME = "rehearsal:"
START_SECONDS = 20.0
PAUSE_SECONDS = 0.5


class EmbeddedEngine(ComfyEngine):
    """Starts the engine's process, brings it back when it dies, and ends it with the service."""

    def __init__(self, settings: EngineSettings, client_id: str, home: Path) -> None:
        super().__init__(settings, client_id)
        self._home = home
        self._port = 0
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process, then listen to it as to any engine."""
        with contextlib.suppress(EngineDown):
            await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"rehearsal-{self.name}")
        await super().start()

    async def close(self) -> None:
        """End the process: it has no life of its own."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._end()
        await super().close()

    @property
    def can_restart(self) -> bool:
        """We started it, so we can do so again."""
        return True

    async def restart(self) -> None:
        """Kill the process; its keeper starts another one on the same port."""
        await self._end()

    async def _keep(self) -> None:
        while True:
            if self._process is not None:
                code = await self._process.wait()
                self._process = None
                log.warning(
                    "the rehearsal engine ended (%s) and is started again",
                    code,
                    extra={"engine": self.name, "action": "engine-respawn"},
                )
            await asyncio.sleep(PAUSE_SECONDS)
            with contextlib.suppress(EngineDown):
                await self._spawn()

    async def _spawn(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # It ends when its standard input does: also after a kill -9 of the service.
            *("-P", "-m", "zoetrope.engine.rehearsal", "--with-parent"),
            *("--port", str(self._port), "--home", str(self._home)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = (await process.stdout.readline()).decode()
            url = next(word.rstrip(",") for word in line.split() if word.startswith("http"))
        except (TimeoutError, StopIteration) as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise EngineDown(
                "The rehearsal engine does not start.",
                "Run `zoetrope rehearse` by hand to see why.",
            ) from error
        self.url = url
        self._port = int(url.rpartition(":")[2])
        self._process = process

    async def _end(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
