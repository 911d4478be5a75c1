"""The lines that a unit of Type=notify sends to systemd."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends lines to systemd's socket; without one, it says nothing to nobody."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = address
        self.watchdog = watchdog  # seconds within which a sign of life is wanted

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Read NOTIFY_SOCKET and WATCHDOG_USEC."""
        address = environ.get("NOTIFY_SOCKET", "")
        # "/path" and "@abstract" are all that a unit gets; anything else is not ours to guess.
        if not address.startswith(("/", "@")) or len(address) < 2:
            return cls()
        micro = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog = int(micro) / 1e6 if micro.isdecimal() and int(micro) > 0 and mine else None
        return cls(address, watchdog)

    def send(self, *lines: str) -> bool:
        """Send some assignments in one message; says whether systemd's socket took it."""
        if not self._address:
            return False
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # A full or vanished socket must not stop the service that only meant to report.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as unix,
        ):
            unix.setblocking(False)
            unix.sendto("\n".join(lines).encode(), address)
            return True
        return False

    def ready(self, sentence: str = "") -> None:
        """Say that the service has started."""
        self.send("READY=1", *([f"STATUS={sentence}"] if sentence else []))

    def reloading(self) -> None:
        """Say that the settings are read again; `ready` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the settings again")

    def status(self, sentence: str) -> None:
        """Say how things stand, in one line."""
        self.send(f"STATUS={' '.join(sentence.split())}")

    def stopping(self) -> None:
        """Say that the service is on its way out."""
        self.send("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """Give the sign of life that the watchdog waits for."""
        self.send("WATCHDOG=1")
