"""A paper engine: an engine in this process that does nothing until it is told how the next prompt ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal

from zoetrope.domain.values import Artefact, Failure
from zoetrope.engine.protocol import (
    Absent,
    Event,
    Finished,
    Interrupted,
    Output,
    PromptFailed,
    Queued,
    QueueEntry,
    Started,
    Stats,
    Whereabouts,
)
from zoetrope.errors import EngineDown, OutputVanished
from zoetrope.graphs.catalog import Catalog
from zoetrope.graphs.graph import Graph

Fate = Literal["done", "oom", "node", "cuda", "interrupted", "vanished", "cleared"]


class PaperEngine:
    """Stricter than a real one: the same prompt is never taken twice while it is known."""

    name = "e0"
    url = "http://paper"
    reconnects = 0
    can_restart = True
    starts_anew = False
    here = False
    home = None

    def __init__(self) -> None:
        self.up = True
        self._line: deque[str] = deque()  # of which the first runs
        self._ended: dict[str, Whereabouts] = {}
        self._gone: set[str] = set()  # prompts whose files are not there any more
        self._outputs: dict[str, tuple[Output, ...]] = {}
        self._moved = asyncio.Event()

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def stats(self) -> Stats:
        """Say what it is."""
        self._answer()
        return Stats(version="paper", simulated=True)

    async def catalog(self) -> Catalog:
        """It has no nodes: no job's way asks for them."""
        return Catalog(comfyui="paper", nodes={})

    async def upload(self, file: Path, name: str) -> str:
        """Take a file, which has to be there."""
        self._answer()
        assert file.stat().st_size, f"{file} is empty"
        return name

    async def submit(self, graph: Graph, prompt_id: str, *, tags: Mapping[str, str]) -> None:
        """Queue a prompt."""
        self._answer()
        assert prompt_id not in self._line, "a prompt that waits or runs is sent again"
        assert not isinstance(self._ended.get(prompt_id), Finished), "what is made is sent again"
        saves = [node for node in ("save", "keep") if node in graph]
        self._outputs[prompt_id] = tuple(Output(node, f"{prompt_id}-{node}.png") for node in saves)
        self._line.append(prompt_id)
        self._tell()

    async def whereabouts(self, prompt_id: str) -> Whereabouts:
        """Say where a prompt is."""
        self._answer()
        if prompt_id in self._line:
            ahead = self._line.index(prompt_id)
            return Queued(ahead) if ahead else Started()
        return self._ended.get(prompt_id, Absent())

    async def follow(self, prompt_id: str) -> AsyncIterator[Event]:
        """Tell where it is whenever that may have changed."""
        while True:
            moved = self._moved
            place = await self.whereabouts(prompt_id)
            yield place
            if not isinstance(place, Queued | Started):
                return
            await moved.wait()

    async def fetch(self, output: Output, to: Path, most: int) -> Artefact:
        """Give what it made."""
        self._answer()
        prompt_id = output.filename.rpartition("-")[0]
        if prompt_id in self._gone:
            raise OutputVanished(f"{output.filename} is not there.")
        content = output.filename.encode()
        await asyncio.to_thread(to.write_bytes, content)
        return Artefact(file=to.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    async def queue(self) -> tuple[QueueEntry, ...]:
        """List what runs and what waits."""
        self._answer()
        return tuple(
            QueueEntry(prompt_id=each, running=number == 0, ours=True)
            for number, each in enumerate(self._line)
        )

    async def withdraw(self, prompt_id: str, *, running: bool = True) -> None:
        """Take a prompt back, one that runs only if that is wanted."""
        self._answer()
        if prompt_id in self._line and (running or self._line[0] != prompt_id):
            self._line.remove(prompt_id)
            self._ended[prompt_id] = Interrupted()
            self._tell()

    async def free(self) -> None:
        """It holds nothing."""
        self._answer()

    async def restart(self) -> None:
        """Forget everything."""
        self.forget()

    def decide(self, fate: Fate) -> bool:
        """Have the first prompt of the line end in some way; false if there is none."""
        if not self._line or not self.up:
            return False
        prompt_id = self._line.popleft()
        failures = {"oom": "oom", "node": "node", "cuda": "cuda"}
        if fate in failures:
            self._ended[prompt_id] = PromptFailed(Failure(kind=failures[fate], message="Ordered."))
        elif fate == "interrupted":
            self._ended[prompt_id] = Interrupted()
        elif fate != "cleared":
            self._ended[prompt_id] = Finished(self._outputs[prompt_id])
            if fate == "vanished":
                self._gone.add(prompt_id)
        self._tell()
        return True

    def forget(self) -> None:
        """Lose queue and history, as a process does that ends."""
        self._line.clear()
        self._ended.clear()
        self._tell()

    def switch(self, *, up: bool) -> None:
        """Begin or cease to answer."""
        self.up = up
        self._tell()

    def _answer(self) -> None:
        if not self.up:
            raise EngineDown("The paper engine does not answer.", "Wait.")

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
