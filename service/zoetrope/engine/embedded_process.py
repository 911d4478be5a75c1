"""The process of a simulated engine: begun by the service, brought back when it dies, ended with the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

from .. import child

log = logging.getLogger("zoetrope.engine")

START_SECONDS = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
# A process that lived so long did not die of being started; the next one comes soon again.
HEALTHY_SECONDS = 10.0
# The end of a traceback says more than its beginning.
LAST_WORDS = 2000


def free_port() -> int:
    """Find a port of the loopback address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedProcess:
    """Has a process at all times, at one address, from its start until it is closed."""

    def __init__(self, name: str, home: Path, *, port: Callable[[], int] = free_port) -> None:
        self.name = name
        self.home = home
        self.url = ""
        self.trouble = ""  # how the last one ended, while none answers
        self._port = port
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._on_purpose = False

    @property
    def runs(self) -> bool:
        """Whether it was started, and so may hold prompts that an earlier client gave to it."""
        return self._keeper is not None

    async def start(self) -> None:
        """Start it unless it runs; answering or not, whether it comes up is the keeper's matter."""
        if self._keeper is None:
            # One address for life: the socket and everybody who asks for it keep it over restarts.
            self._tried.clear()
            self.url = f"http://127.0.0.1:{self._port()}"
            self._keeper = asyncio.create_task(self._keep(), name=f"simulated-{self.name}")
        try:
            await self._tried.wait()
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """End it: it has no life of its own."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def restart(self) -> None:
        """Kill it; another one takes its place at the same address."""
        if self._process is not None:
            self._on_purpose = True
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _keep(self) -> None:
        """Have a process at all times, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            self._on_purpose = False
            try:
                ending = await self._live()
            except OSError as error:
                ending = f"cannot be started ({error.strerror}: {error.filename})"
            finally:
                self._tried.set()
            if time.monotonic() - began > HEALTHY_SECONDS or self._on_purpose:
                pause = FIRST_PAUSE
            if not self._on_purpose:
                self.trouble = ending
                log.warning(
                    "the simulated engine %s; restarting it",
                    ending,
                    extra={"engine": self.name, "action": "engine-respawn"},
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _live(self) -> str:
        """See a process through from start to end, and say how it ended."""
        self.home.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "zoetrope.engine.simulated"),
            # It ends when its standard input does: also after a kill -9 of the service.
            *("--with-parent", "--port", self.url.rpartition(":")[2], "--home", str(self.home)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=child.environment(),
            # Ctrl-C at a terminal is for the service, which then ends this in its own order.
            start_new_session=True,
        )
        assert process.stdout is not None
        words = asyncio.create_task(self._listen(process))
        try:
            try:
                async with asyncio.timeout(START_SECONDS):
                    listens = await process.stdout.readline()
            except TimeoutError:
                return f"does not answer {START_SECONDS:g} s after its start"
            if listens:
                self._process = process
                self.trouble = ""
                self._tried.set()
            return f"ended ({await process.wait()})"
        finally:
            self._process = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            # What it said last is still on its way.
            await asyncio.wait({words}, timeout=1.0)
            words.cancel()

    async def _listen(self, process: Process) -> None:
        """Hand on what the process complains about; it says nothing while all is well."""
        assert process.stderr is not None
        while words := await process.stderr.read(1 << 16):
            log.warning(
                "output of the simulated engine: %s",
                words.decode(errors="replace")[-LAST_WORDS:],
                extra={"engine": self.name, "action": "engine-words"},
            )
