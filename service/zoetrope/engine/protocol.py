"""The seam between conductor and engine: what may be asked, and what may be heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from ..domain.values import Artefact, Failure
from ..graphs.catalog import Catalog
from ..graphs.graph import Graph
from ..graphs.memory import gigabytes
from ..host import shown
from .report import EngineReport


class Output(msgspec.Struct, frozen=True):
    """A file that a prompt made, by the name the engine gives it."""

    node: str
    filename: str
    subfolder: str = ""
    type: str = "output"

    @property
    def shown(self) -> str:
        """Its place at the engine, as one short line."""
        return shown("/".join(part for part in (self.subfolder, self.filename) if part)[-200:])

    @property
    def suffix(self) -> str:
        """How its name ends, if that can end a name of ours: what an engine says may be anything."""
        suffix = PurePosixPath(self.filename).suffix.lower()
        return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) < 10 else ""


class QueueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt in the engine's queue; `job` is the job's id where this service has sent it."""

    prompt_id: str
    running: bool = False
    ours: bool = False  # this service has sent it
    job: str = ""


class Queued(msgspec.Struct, frozen=True):
    """The prompt stands in the engine's queue behind `ahead` prompts; other clients have sent so many of them."""

    ahead: int = 0
    others: int = 0


class Started(msgspec.Struct, frozen=True):
    """The engine began to work on the prompt."""


class Cached(msgspec.Struct, frozen=True):
    """These nodes need no work: the engine still has their results."""

    nodes: tuple[str, ...]


class Step(msgspec.Struct, frozen=True):
    """The engine moved on: the node it is in, that node's own count, and the nodes it has finished."""

    node: str
    value: float = 0.0
    maximum: float = 0.0
    finished: tuple[str, ...] = ()


class Finished(msgspec.Struct, frozen=True):
    """The prompt ended well, even if all that it gives came from the cache."""

    outputs: tuple[Output, ...]


class PromptFailed(msgspec.Struct, frozen=True):
    """The prompt ended badly."""

    failure: Failure


class Interrupted(msgspec.Struct, frozen=True):
    """Someone interrupted the prompt."""


class Absent(msgspec.Struct, frozen=True):
    """The engine answers, and knows nothing of the prompt: neither in its queue nor in its history."""

    # What it had said of files before it forgot the prompt: they may well be there.
    saved: tuple[Output, ...] = ()


Whereabouts = Queued | Started | Finished | PromptFailed | Interrupted | Absent
Event = Queued | Started | Cached | Step | Finished | PromptFailed | Interrupted | Absent


# What ComfyUI takes in one upload unless it is told otherwise.
MAX_UPLOAD = 100 * 1024 * 1024


# What no stage's file has, whatever it is of.
MOST_FETCHED = 64 << 30


class Stats(msgspec.Struct, frozen=True):
    """What the engine says of itself and its card."""

    version: str
    device: str = ""
    vram_total: int = 0
    vram_free: int = 0
    python: str = ""
    torch: str = ""
    simulated: bool = False
    max_upload: int = MAX_UPLOAD
    # Free memory inside of its process's own pool on the GPU: changes all the time while it computes.
    # None where the engine computes on processors, and the figure is the whole host's.
    pool_free: int | None = 0
    runtime: EngineReport | None = None  # what was found before it started, as far as it is known

    @property
    def attention(self) -> str:
        """The attention kernel in use, as far as it is known."""
        return self.runtime.chosen if self.runtime is not None else ""

    @property
    def gigabytes(self) -> float:
        """The GPU's memory; 0 for the simulated engine, which reports the host's."""
        return 0.0 if self.simulated else gigabytes(self.vram_total)


class Engine(Protocol):
    """One engine; every call may raise EngineDown, one with an answer that cannot be right WrongAnswer, and those that ask for work EngineRefused."""

    name: str

    @property
    def url(self) -> str:
        """Its address, without what opens it."""

    @property
    def starts_anew(self) -> bool:
        """Whether its process is yet to be started by this service, so that it can hold no prompt."""
        ...

    @property
    def here(self) -> bool:
        """Whether it runs on this host."""
        ...

    @property
    def home(self) -> Path | None:
        """Where it keeps its files, as far as that is known."""
        ...

    async def start(self) -> None:
        """Begin to listen to the engine's events."""

    async def close(self) -> None:
        """Let go of every connection; prompts stay with the engine."""

    async def stats(self) -> Stats:
        """Ask the engine what it is; also the question whether it answers at all."""

    async def catalog(self) -> Catalog:
        """Ask which nodes the engine has, with their inputs and outputs."""

    async def upload(self, file: Path, name: str) -> str:
        """Give the engine a file; returns the name under which graphs reach it."""

    async def submit(self, graph: Graph, prompt_id: str, *, tags: Mapping[str, str]) -> None:
        """Queue a prompt under our id; a refusal of any part of the graph is EngineRefused."""

    async def queue(self) -> tuple[QueueEntry, ...]:
        """List every client's prompts: what runs, then what waits, in the order in which it will run."""

    async def whereabouts(self, prompt_id: str) -> Whereabouts:
        """Ask the queue, then the history, where a prompt is."""

    def follow(self, prompt_id: str) -> AsyncIterator[Event]:
        """Tell what happens to a prompt until it has ended or is absent; asks again when events stay away."""

    async def fetch(self, output: Output, to: Path, most: int = MOST_FETCHED) -> Artefact:
        """Bring one output file here, whole and of at most so many bytes, or raise OutputVanished, Oversized, or NotGiven if it may come later."""

    async def withdraw(self, prompt_id: str, *, running: bool = True) -> None:
        """Take a prompt back that still waits or, unless told otherwise, already runs; others are not touched."""

    async def free(self) -> None:
        """Ask the engine to unload models and empty its caches when it is idle."""

    @property
    def reconnects(self) -> int:
        """How often the stream of events was opened again."""
        ...

    @property
    def can_restart(self) -> bool:
        """Whether we know a way to restart it."""
        ...

    async def restart(self) -> None:
        """Restart the engine and return when it was asked to; what it held is lost."""
