"""The demo's host: a real `zoetrope serve` with its own settings, folders and port."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from .. import child
from ..errors import ZoetropeError

STOP_SECONDS = 15.0
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
# What manages the demo does not expect reports of its service.
MANAGERS = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"})


class DemoFailed(ZoetropeError):
    """The demo failed."""

    key = "demo"


class DemoHost:
    """A service in a folder of its own, which ends with the demo."""

    def __init__(self, home: Path, engine: str, limit: float | None) -> None:
        self.home = home
        self.inbox = home / "inbox"
        self.outbox = home / "outbox"
        self.log = home / "service.log"
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._engine = engine
        self._limit = limit
        self._late = False
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None

    @property
    def started(self) -> bool:
        """Whether the service was started, so that there is a log."""
        return self._process is not None

    def __enter__(self) -> DemoHost:
        for folder in (self.inbox, self.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        config = self.home / "zoetrope.toml"
        config.write_text(self._settings(), encoding="utf-8")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zoetrope", "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child.environment(without=MANAGERS),
                # Ctrl-C is for the demo, which then ends the service in its own order.
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid()),
            )
        if self._limit is not None:
            self._timer = threading.Timer(self._limit, self._give_up)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.calm()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def calm(self) -> None:
        """Drop the time limit from here on."""
        if self._timer is not None:
            self._timer.cancel()

    def check(self) -> None:
        """Raise with the reason if the service no longer runs."""
        assert self._process is not None
        if self._late:
            raise DemoFailed(f"The demo did not finish within {self._limit:g} s.")
        if self._process.poll() is not None:
            raise DemoFailed(f"The service exited with {self._process.returncode}: {self._tail()}")

    def wait(self) -> None:
        """Stay until the service ends."""
        assert self._process is not None
        self._process.wait()

    def _give_up(self) -> None:
        self._late = True
        if self._process is not None:
            self._process.kill()

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty."

    def _settings(self) -> str:
        # TOML's basic strings have JSON's escapes, so that any path and address can stand here.
        return (
            "".join(
                f"{key} = {json.dumps(value)}\n"
                for key, value in {
                    "inbox.path": str(self.inbox),
                    "inbox.settle_seconds": 0.5,
                    "inbox.ticket_grace_seconds": 0.2,
                    "outbox.path": str(self.outbox),
                    "state.path": str(self.home / "state"),
                    "state.min_free_megabytes": 200,
                    "web.listen": self.url.removeprefix("http://"),
                }.items()
            )
            + f'[[engines]]\nname = "demo"\nurl = {json.dumps(self._engine)}\n'
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _dying_with(parent: int) -> Callable[[], None] | None:
    """Give what a child does first, so that a kill -9 of the demo ends its service too."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def before_it_starts() -> None:
        libc.prctl(DIE_WITH_PARENT, signal.SIGTERM)
        # The parent may have ended before the system was asked to watch it.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return before_it_starts
