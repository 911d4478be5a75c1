"""Service and engine as forks of this process: as real as started ones, without the second that imports take."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from tests.fakes.service import QUICK_INBOX, ServiceProcess, free_port, wait_for
from zoetrope import settings
from zoetrope.app import run
from zoetrope.engine.simulated.serve import read_fault, serve

FORK = multiprocessing.get_context("fork")


class Forked:
    """A forked process with the part of Popen's methods that fakes need."""

    def __init__(self, work: Callable[[], int | None], log: Path) -> None:
        self._process = FORK.Process(target=_begin, args=(work, log))
        self._process.start()
        self.pid = cast(int, self._process.pid)

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Say how it ended; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0.0)
        return code

    def kill(self) -> None:
        """Kill it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class ForkedEngine:
    """The simulated engine."""

    def __init__(self, home: Path, *faults: str, step_seconds: float = 0.0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = home
        self.step_seconds = step_seconds
        self.process: Forked | None = None
        self._faults = [read_fault(text) for text in faults]
        self._log = home.parent / f"{home.name}.log"

    def start(self) -> None:
        """Start it and wait until it answers."""

        def work() -> None:
            asyncio.run(
                serve(
                    self.home,
                    port=self.port,
                    step_seconds=self.step_seconds,
                    faults=self._faults,
                    announce=False,
                )
            )

        self.process = Forked(work, self._log)
        wait_for(f"{self.url}/system_stats", self.process)  # type: ignore[arg-type]

    def kill(self) -> None:
        """Kill it; what it held is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def revive(self) -> None:
        """Start it again if it is dead."""
        if self.process is None or self.process.poll() is not None:
            self.start()


class ForkedService(ServiceProcess):
    """`zoetrope serve`; `prepare` is done in the new process before it begins."""

    def start(  # type: ignore[override]
        self, *, wait: bool = True, prepare: Callable[[], None] | None = None
    ) -> None:
        """Start it; by default wait until it answers."""

        def work() -> int:
            os.environ.pop("NOTIFY_SOCKET", None)
            if prepare is not None:
                prepare()
            return run(lambda: settings.load(self.config))

        self.process = Forked(work, self.log)  # type: ignore[assignment]
        if wait:
            wait_for(f"{self.url}/healthz", self.process)  # type: ignore[arg-type]

    def configure(self, *, quick: str = "", more: str = "") -> None:
        """Change the settings file: a quicker inbox, and further sections."""
        text = self.config.read_text()
        self.config.write_text(text.replace(QUICK_INBOX, quick or QUICK_INBOX) + more)

    def replace(self, old: str, new: str) -> None:
        """Change one setting in the file, for the next start."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))


def _begin(work: Callable[[], int | None], log: Path) -> None:
    """Begin as a fresh process does: with its own log, and without the parent's handlers."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    # Whoever runs the tests may have put something of their own in its place.
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os._exit(work() or 0)
