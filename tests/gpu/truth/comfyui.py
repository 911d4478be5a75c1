"""One ComfyUI that is started for measuring, and the way of a graph through it, timed from its own messages."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import aiohttp

from .gauges import Gauges
from .graphs import Graph

# What it says of memory, in both ways: with dynamic VRAM and without.
MEMORY = re.compile(
    r"(?i)(requested to load|loaded (completely|partially)|staged|lowvram|unload|oom|out of memory|error|"
    r"set vram state|total vram|pytorch version|device:|dynamic|pinned|attention|aimdo|model weight dtype)"
)


class Broken(Exception):
    """ComfyUI did not start, or a graph did not run."""


class ComfyUI:
    """A process of ComfyUI with a folder of its own."""

    def __init__(
        self, source: Path, base: Path, port: int, log: Path, flags: list[str], python: str = ""
    ) -> None:
        self.source, self.base, self.port, self.log = source, base, port, log
        self.flags, self.python = flags, python or sys.executable
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"
        self.started: float | None = None

    def start(self) -> None:
        """Start it; `ready` waits for it."""
        for folder in ("models", "input", "output", "temp", "user", "custom_nodes", "page"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        (self.base / "page/index.html").write_text("<!doctype html>")
        command = [self.python, "main.py", "--port", str(self.port), "--disable-auto-launch"]
        command += ["--base-directory", str(self.base), "--front-end-root", str(self.base / "page")]
        self._began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.flags],
                cwd=self.source,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self, seconds: float) -> float:
        """Wait until it answers; give the seconds since its start."""
        assert self.process is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Broken(f"it ended with code {self.process.returncode}: {self.last_words()}")
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/system_stats", timeout=2),
            ):
                self.started = self.started or round(time.monotonic() - self._began, 1)
                return self.started
            time.sleep(0.2)
        raise Broken(f"it did not answer within {seconds:.0f} s: {self.last_words()}")

    def stop(self) -> None:
        """End it; what it wrote stays."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """Give the end of its log in one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-4:])[-600:]

    def free(self) -> None:
        """Have it let go of its models."""
        request = urllib.request.Request(
            f"{self.url}/free",
            data=b'{"unload_models": true, "free_memory": true}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass
        time.sleep(1.5)

    def measure(self, graph: Graph, seconds: float) -> dict[str, Any]:
        """Run a graph to its end and give what it took; one that takes too long is interrupted."""
        assert self.process is not None
        before = self.log.stat().st_size
        with Gauges(self.process.pid) as gauges:
            found = asyncio.run(self._run(graph, seconds))
        with self.log.open("rb") as log:
            log.seek(before)
            said = log.read().decode(errors="replace").splitlines()
        memory = [line.strip()[:200] for line in said if MEMORY.search(line)]
        return found | gauges.rows() | {"log": memory[:40]}

    async def _run(self, graph: Graph, seconds: float) -> dict[str, Any]:
        client = uuid.uuid4().hex
        limit = aiohttp.ClientTimeout(total=seconds)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.ws_connect(f"{self.url}/ws?clientId={client}", max_msg_size=0) as socket,
        ):
            body = {"prompt": graph, "client_id": client}
            async with session.post(f"{self.url}/prompt", json=body) as answer:
                told = await answer.json()
            if "prompt_id" not in told:
                raise Broken(f"it was rejected: {str(told)[:600]}")
            way = Way(graph, time.monotonic())
            try:
                async with asyncio.timeout(seconds):
                    while not way.ended:
                        message = await socket.receive()
                        if message.type != aiohttp.WSMsgType.TEXT:
                            if message.type != aiohttp.WSMsgType.BINARY:
                                raise Broken(f"it closed its connection: {self.last_words()}")
                            continue
                        way.take(message.json(), told["prompt_id"], time.monotonic())
            except TimeoutError:
                async with session.post(f"{self.url}/interrupt", json={}):
                    pass
                return way.rows() | {"cut_off": f"after {seconds:.0f} s"}
            if way.error:
                raise Broken(way.error)
            history: dict[str, Any] = {}
            for _ in range(50):  # it comes a moment after the last message
                async with session.get(f"{self.url}/history/{told['prompt_id']}") as answer:
                    history = (await answer.json()).get(told["prompt_id"], {})
                if history:
                    break
                await asyncio.sleep(0.1)
            return way.rows() | {"files": files(history)}


def files(history: dict[str, Any]) -> list[str]:
    """List what a graph wrote, below ComfyUI's output folder."""
    found = []
    for output in history.get("outputs", {}).values():
        for kind in ("images", "gifs", "video"):
            written = (e for e in output.get(kind, ()) if e.get("type") == "output")
            found += [str(Path(e.get("subfolder", "")) / e["filename"]) for e in written]
    return found


class Way:
    """When each node of a graph began, and when each step of a sampler was done."""

    def __init__(self, graph: Graph, began: float) -> None:
        self.kinds = {key: node["class_type"] for key, node in graph.items()}
        self.began = began
        self.nodes: list[tuple[str, float]] = []
        self.steps: dict[str, list[float]] = {}
        self.ended: float | None = None
        self.error = ""

    def take(self, message: dict[str, Any], prompt: str, now: float) -> None:
        """Take one message of ComfyUI's."""
        kind, data = message.get("type"), message.get("data") or {}
        if data.get("prompt_id", prompt) != prompt:
            return
        if kind == "executing" and data.get("node"):
            self.nodes.append((data["node"], now))
        elif kind == "progress":
            self.steps.setdefault(data.get("node") or "", []).append(now)
        elif kind == "execution_success":
            self.ended = now
        elif kind in ("execution_error", "execution_interrupted"):
            self.ended = now
            words = data.get("exception_message", kind)
            self.error = f"{data.get('node_type', '')}: {words}".strip()[:600]

    def rows(self) -> dict[str, Any]:
        """Give seconds: of the whole, of each kind of node, of a step of each sampler, and of what came before its first."""
        end = self.ended or time.monotonic()
        starts = [*self.nodes, ("", end)]
        spent: dict[str, float] = {}
        samplers = {}
        for (node, begin), (_, after) in itertools.pairwise(starts):
            kind = self.kinds.get(node, node)
            spent[kind] = spent.get(kind, 0.0) + after - begin
            if kind.startswith("KSampler"):
                samplers[node] = sampler(begin, after, self.steps.get(node, []))
        shown = {k: round(v, 2) for k, v in sorted(spent.items(), key=lambda e: -e[1]) if v >= 0.05}
        return {"seconds": round(end - self.began, 2), "nodes": shown, "samplers": samplers}


def sampler(begin: float, end: float, marks: list[float]) -> dict[str, Any]:
    """Give a sampler's seconds: whole, a step (the median of those that follow another), and loading before the first."""
    between = sorted(b - a for a, b in itertools.pairwise(marks))
    step = between[len(between) // 2] if between else None
    loading = max(0.0, marks[0] - begin - step) if marks and step else None
    return {
        "seconds": round(end - begin, 2),
        "steps": len(marks),
        "step": None if step is None else round(step, 3),
        "before": None if loading is None else round(loading, 2),
        # The last mark comes before the GPU is done: what is left is the last step's rest and the end.
        "after": round(end - marks[-1], 2) if marks else None,
    }
