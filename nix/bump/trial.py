"""The trial of a bump: an engine that is started on the CPU, and commands whose words matter only if they fail."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from stop import Stopped

START_SECONDS = 300.0


def prepare(tree: Path, work: Path) -> str:
    """Make ComfyUI's environment from the new pins."""
    target = work / "runtime"
    check(
        ["bash", str(tree / "pre-start.sh"), "--prepare", str(target)], tree, work / "prepare.log"
    )
    found = sorted(target.glob("**/bin/python"))
    if not found:
        raise Stopped(f"pre-start.sh --prepare made no Python in {target}")
    return str(found[0])


def check(command: list[str], folder: Path, log: Path) -> None:
    """Run a command whose output matters only if it fails."""
    with log.open("wb") as out:
        done = subprocess.run(command, cwd=folder, stdout=out, stderr=out, check=False)
    if done.returncode:
        last = log.read_text(errors="replace").splitlines()[-3:]
        raise Stopped(f"{Path(command[0]).name} failed: {' | '.join(last)} (see {log})")


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, version: str) -> None:
    """Wait until the engine answers and says that it is this version."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-4:]
            raise Stopped(f"the engine ended with code {process.returncode}: {' | '.join(last)}")
        with (
            contextlib.suppress(OSError, ValueError, KeyError),
            urllib.request.urlopen(f"{url}/system_stats", timeout=5) as answer,  # noqa: S310 - http, our own
        ):
            said = json.loads(answer.read())["system"]["comfyui_version"]
            if said != version:
                raise Stopped(f"the engine says that it is {said}, not {version}")
            return
        time.sleep(0.3)
    raise Stopped(f"the engine did not answer within {START_SECONDS:.0f} s (see {log})")


def end(process: subprocess.Popen[bytes]) -> None:
    """End the engine."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
