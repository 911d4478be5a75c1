"""What the inbox's tests share: a small world of folders, recipes and pictures."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from tests.fakes.checking import DecoderHere
from tests.fakes.members import GROUP, SERVICE
from zoetrope.domain.job import Job, State
from zoetrope.domain.query import JobQuery
from zoetrope.graphs.shelf import Recipes
from zoetrope.inbox.entry import CLAIMED, classify
from zoetrope.inbox.gather import Drop
from zoetrope.inbox.intake import Intake
from zoetrope.inbox.returned import Returned
from zoetrope.inbox.watcher import Watcher
from zoetrope.jobs import owed
from zoetrope.jobs.outbox_identity import OutboxIdentity
from zoetrope.settings import (
    InboxSettings,
    OutboxSettings,
    RecipesSettings,
    Settings,
    StateSettings,
)
from zoetrope.store.memory import MemoryLedger
from zoetrope.store.protocol import JobStore

RECIPE = """
title = "A small recipe"
pictures = {pictures}
seed = ["sampler.seed"]

[size]
pixels = 65536
multiple = 16
width = ["sampler.width"]
height = ["sampler.height"]

[length]
frames = 17
fps = 16.0
to = ["sampler.length"]

[[stages]]
name = "animate"
graph = "one.json"
output = "save"
prefix = "save.filename_prefix"
estimate_seconds = 10.0
picture = "load.image"
review = true

[[stages]]
name = "upscale"
graph = "one.json"
output = "save"
prefix = "save.filename_prefix"
estimate_seconds = 10.0
review = true

[parameters.prompt]
type = "text"
default = ""
to = ["sampler.text"]

[parameters.negative]
type = "text"
default = ""
to = ["sampler.negative"]

[parameters.steps]
type = "int"
default = 20
min = 1
max = 50
to = ["sampler.steps"]
"""

GRAPH = {
    "load": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "sampler": {
        "class_type": "Sampler",
        "inputs": {
            "seed": 0,
            "width": 0,
            "height": 0,
            "length": 0,
            "text": "",
            "negative": "",
            "steps": 0,
        },
    },
    "save": {"class_type": "Save", "inputs": {"filename_prefix": ""}},
}


PATIENCE = 120.0  # of a busy machine; no test waits that long where all is well


def write_recipe(folder: Path, name: str, *, pictures: int = 1) -> Path:
    """Write a tiny recipe folder."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "recipe.toml").write_text(RECIPE.format(pictures=pictures), encoding="utf-8")
    (place / "one.json").write_text(json.dumps(GRAPH), encoding="utf-8")
    return place


def write_picture(file: Path, *, size: tuple[int, int] = (64, 48), seed: int = 0) -> Path:
    """Write a picture whose bytes depend on the seed."""
    noise = random.Random(seed).randbytes(size[0] * size[1] * 3)
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.frombytes("RGB", size, noise)
    kind = {"jpg": "JPEG", "jpeg": "JPEG"}.get(file.suffix[1:].lower(), "PNG")
    picture.save(file, kind)
    return file


def where(descriptor: int | None) -> Path:
    """Say which folder a descriptor holds."""
    return Path(f"/proc/self/fd/{descriptor}").readlink() if descriptor is not None else Path()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.01)


class World:
    """A whole inbox with its ledger; `start` runs watcher and intake as the service would."""

    def __init__(
        self, root: Path, ledger: JobStore, settings: Settings, decoder: DecoderHere
    ) -> None:
        self.root = root
        self.ledger = ledger
        self.settings = settings
        self.decoder = decoder
        self.inbox = settings.inbox.path
        self.rejected = self.inbox / "rejected"
        self.claimed = self.inbox / ".zoetrope"
        self.recipes = Recipes((root / "recipes",))
        self.announced: list[Job] = []
        ledger.on_change(lambda _, job: self.announced.append(job))
        self.now: Callable[[], float] = time.time
        self.tasks: list[asyncio.Task[None]] = []
        self.watcher: Watcher | None = None
        self.intake = self.make_intake()

    def make_intake(self, **changes: object) -> Intake:
        self.intake = Intake(
            self.settings,
            self.ledger,
            self.recipes,
            self.decoder,
            **{
                "clock": lambda: self.now(),
                "randomness": random.Random(1),
                "retry_seconds": 0.05,
                "hold_seconds": 0.05,
                **changes,
            },
        )
        return self.intake

    def change(self, **inbox: object) -> None:
        """Change inbox settings, before anything runs."""
        changed = msgspec.structs.replace(self.settings.inbox, **inbox)
        self.settings = msgspec.structs.replace(self.settings, inbox=changed)
        self.make_intake()

    def start(self) -> None:
        self.watcher = Watcher(self.settings.inbox)
        self.tasks = [
            asyncio.create_task(self.watcher.run()),
            asyncio.create_task(self.intake.run(self.watcher)),
        ]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    async def jobs(self) -> list[Job]:
        return [row.job for row in reversed(await self.ledger.page(JobQuery(limit=1000)))]

    async def job(self) -> Job:
        (job,) = await self.jobs()
        return job

    async def wait_for_jobs(self, count: int, *states: State) -> list[Job]:
        """Wait until there are so many jobs, all in one of the states, and nothing is left in hand."""
        end = time.monotonic() + PATIENCE
        while True:
            jobs = await self.jobs()
            right = [job for job in jobs if not states or job.state in states]
            if len(right) == count and not self.intake.status.busy:
                assert len(jobs) == count
                return jobs
            assert time.monotonic() < end, [(j.stem, j.state, j.reason) for j in jobs]
            await asyncio.sleep(0.02)

    def drop(self, *names: str, tickets: tuple[str, ...] = (), shared: bool = False) -> Drop:
        return Drop(
            pictures=tuple(classify(name) for name in names),
            tickets=tuple(classify(name) for name in tickets),
            shared=shared,
        )

    async def take(self, *names: str, tickets: tuple[str, ...] = ()) -> Job:
        """Take one drop through, without a watcher."""
        job = await self.intake.take(self.drop(*names, tickets=tickets))
        assert job is not None
        return await self.ledger.get(job.id)

    def files(self) -> dict[str, bytes]:
        """All files of the inbox, claimed ones too."""
        return {
            str(path.relative_to(self.inbox)): path.read_bytes()
            for path in sorted(self.inbox.rglob("*"))
            if path.is_file()
        }

    def why(self, name: str) -> str:
        return (self.rejected / f"{name}.why.txt").read_text(encoding="utf-8")


def returned(settings: Settings) -> Returned:
    """Give what returns pictures, on a host whose inbox was prepared as a start does."""
    with contextlib.suppress(FileExistsError):
        (settings.inbox.path / CLAIMED).mkdir()
    settings.state.path.mkdir(exist_ok=True)
    outbox = OutboxIdentity(settings.outbox.path, settings.outbox_identity)
    return Returned(settings, outbox)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    write_recipe(tmp_path / "recipes", "plain")
    write_recipe(tmp_path / "recipes", "loop", pictures=2)
    return Settings(
        inbox=InboxSettings(
            path=inbox,
            settle_seconds=0.1,
            ticket_grace_seconds=0.0,
            rescan_seconds=0.5,
            max_megapixels=4,
            decode_seconds=20.0,
            decode_workers=1,
        ),
        outbox=OutboxSettings(path=tmp_path / "outbox"),
        state=StateSettings(path=tmp_path / "state", min_free_megabytes=0),
        recipes=RecipesSettings(path=(), default="plain"),
    )


@pytest.fixture
async def store() -> JobStore:
    """The world's ledger; a test that needs its file says so."""
    return MemoryLedger()


@pytest.fixture
async def world(tmp_path: Path, settings: Settings, store: JobStore) -> AsyncIterator[World]:
    (tmp_path / "state").mkdir(exist_ok=True)
    decoder = DecoderHere(settings.inbox)
    world = World(tmp_path, store, settings, decoder)
    yield world
    await world.stop()
    await decoder.close()
    await store.close()


@pytest.fixture
def picture(settings: Settings) -> Callable[..., Path]:
    """Write a picture into the inbox."""

    def write(name: str = "cat.png", **options: object) -> Path:
        return write_picture(settings.inbox.path / name, **options)

    return write


@pytest.fixture
def share() -> Iterator[Path]:
    """An inbox that the service owns, outside of pytest's own folder, which is closed to others."""
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    home.chmod(0o755)
    inbox = home / "inbox"
    inbox.mkdir()
    os.chown(inbox, SERVICE, GROUP)
    inbox.chmod(0o3770)
    yield inbox
    shutil.rmtree(home)


def no_space(*_args: object, **_kwargs: object) -> None:
    """Stand in for a copy onto a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device", "/state/work")


async def give_back(settings: Settings, job: Job, way: Returned | None = None) -> None:
    """Give the pictures of a job that failed back, as the service does that owes them."""
    owed.owe(settings.work / job.id)
    await (way or returned(settings)).give_back(job)
