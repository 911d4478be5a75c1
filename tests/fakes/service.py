"""The real service and a simulated engine as processes of their own, to be killed at will."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from zoetrope.app import LEAVE_SECONDS, STOP_SECONDS

RECIPES = Path(__file__).parents[1] / "recipes"
PATIENCE = 120.0
# However busy the machine: what hangs in the service is left behind after its own LEAVE_SECONDS.
ENDS_WITHIN = LEAVE_SECONDS + STOP_SECONDS + 10.0
# aiohttp reads the system's certificates when it is imported, and no process here needs one.
NO_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
QUICK_INBOX = """
            settle_seconds = 0.2
            ticket_grace_seconds = 0.05
            rescan_seconds = 2
"""


def free_port() -> int:
    """Find a free port, below those that the system gives to connections.

    One of those may be taken at any moment: before the service has it, or between its end and its next start.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class EngineProcess:
    """`python -m zoetrope.engine.simulated`."""

    def __init__(self, home: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            *(sys.executable, "-m", "zoetrope.engine.simulated"),
            *("--port", str(self.port), "--home", str(home), *options),
        ]
        self._log = home.parent / f"{home.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=os.environ | NO_CERTIFICATES
            )
        wait_for(f"{self.url}/system_stats", self.process)

    def stop(self) -> None:
        """End it."""
        end(self.process)


class ServiceProcess:
    """`zoetrope serve`."""

    def __init__(self, root: Path, engine_url: str, *, idle: bool = False) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.outbox = root / "outbox"
        self.state = root / "state"
        for folder in (self.inbox, self.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = root / "zoetrope.toml"
        # A quick inbox and a short silence for tests; an idle service is measured with the defaults.
        quick = "" if idle else QUICK_INBOX
        silence = "" if idle else "silence_seconds = 0.5"
        self.config.write_text(
            f"""
            [inbox]
            path = "{self.inbox}"
            {quick}
            [outbox]
            path = "{self.outbox}"
            [state]
            path = "{self.state}"
            min_free_megabytes = 1
            [recipes]
            path = ["{RECIPES}"]
            default = "tiny"
            [jobs]
            review = false
            [[engines]]
            name = "e0"
            url = "{engine_url}"
            {silence}
            [web]
            listen = "127.0.0.1:{self.port}"
            """
        )
        self.log = root / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True, files: int = 0, **environ: str) -> None:
        """Start it, with so many descriptors at most; by default wait until it answers."""
        bounded = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(files)] if files else []
        serve = [sys.executable, "-m", "zoetrope", "serve", "--config", str(self.config)]
        inherited = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*bounded, *serve],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=inherited | NO_CERTIFICATES | environ,
            )
        if wait:
            wait_for(f"{self.url}/healthz", self.process)

    def reload(self, old: str, new: str) -> None:
        """Change the settings file and have it read again, as `systemctl reload` does."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """Kill it as a power cut would: no handler runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as systemd does; returns the exit code."""
        return end(self.process)

    def get(self, path: str, *, token: str = "") -> Any:
        """Ask the API; the page is there a moment before the ledger, and says 503 until then."""
        request = urllib.request.Request(f"{self.url}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503 or time.monotonic() > deadline:
                        raise
            time.sleep(0.05)

    def post(self, path: str, body: object = None) -> Any:
        """Order something over the API."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=json.dumps(body if body is not None else {}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def done(self) -> list[Path]:
        """List the finished folders; hidden ones are still being built."""
        return sorted(p.parent for p in self.outbox.glob("[!.]*/receipt.json"))

    def done_named(self, stem: str) -> Path:
        """Find the finished folder of one picture."""
        return next(folder for folder in self.done() if folder.name.startswith(f"{stem}-"))


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until an address answers, or say that its process ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended with {process.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise AssertionError(f"{url} does not answer")


def end(process: subprocess.Popen[bytes] | None) -> int:
    """Ask a process to end, and insist."""
    if process is None or process.poll() is not None:
        return process.returncode if process else 0
    process.terminate()
    try:
        return process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"it did not end within {ENDS_WITHIN:g} s of SIGTERM") from None
