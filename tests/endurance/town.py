"""Inbox, ledger and conductor in this process over a paper engine, stepped by hand: what the property test acts on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endurance.counted_threads import CountedThreads
from tests.endurance.haste import hasten
from tests.endurance.paper import PaperEngine
from tests.fakes.kills import Kill, Killed
from zoetrope.domain.job import ENDED, Job, Progress, State
from zoetrope.domain.query import JobQuery
from zoetrope.domain.values import SourceImage
from zoetrope.errors import ZoetropeError
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.inbox.entry import EntryKind, classify
from zoetrope.inbox.gather import Drop
from zoetrope.inbox.intake import Intake
from zoetrope.inbox.returned import Returned
from zoetrope.inbox.source_image import CopiedSource
from zoetrope.jobs.conductor import Conductor
from zoetrope.jobs.outbox import Outbox
from zoetrope.jobs.outbox_identity import OutboxIdentity
from zoetrope.models.hashes import Hashes
from zoetrope.settings import (
    EngineSettings,
    InboxSettings,
    OutboxSettings,
    RecipesSettings,
    Settings,
    StateSettings,
)
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.web.events import Bus

RECIPES = Path(__file__).parents[1] / "recipes"

TIDY = 200  # looks at what is left, until it has to be gone
KEPT = 8  # events that a listener who was away can still be given
#: Each state, and those that may follow it in one step.
FOLLOWS: dict[State, set[State]] = {
    State.WAITING: {State.QUEUED, State.CANCELLED, State.REJECTED},
    State.QUEUED: set(State) - {State.WAITING, State.DONE},
    State.RUNNING: set(State) - {State.WAITING},
    State.REVIEW: {State.QUEUED, State.CANCELLED, State.REVIEW},
    State.DONE: {State.DONE},
    State.FAILED: {State.QUEUED, State.RUNNING, State.REVIEW, State.FAILED},
    State.CANCELLED: {State.QUEUED, State.RUNNING, State.REVIEW, State.CANCELLED},
    State.REJECTED: {State.REJECTED},
}


class PaperDecoder:
    """Opens what begins with the letter of a picture, at once."""

    async def open(
        self,
        folder: Path,
        source: CopiedSource,
        *,
        target: str,
        max_frames: int = 0,
        small: str = "",
    ) -> SourceImage:
        """Measure nothing, and say what a picture is like."""
        assert (folder / source.file).stat().st_size == source.size, "the copy is not the picture"
        return SourceImage(
            name=source.name,
            sha256=source.sha256,
            size=source.size,
            format="PNG",
            width=64,
            height=64,
            source=source.file,
            file=source.file,
        )


class Town:
    """Everything, and what a person knows of it."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        self.loop = asyncio.new_event_loop()
        self.patch = pytest.MonkeyPatch()
        hasten(self.patch.setattr)
        self.engine = PaperEngine()
        self.settings = Settings(
            inbox=InboxSettings(path=root / "inbox"),
            outbox=OutboxSettings(path=root / "outbox"),
            state=StateSettings(path=root / "state", min_free_megabytes=0),
            recipes=RecipesSettings(path=(RECIPES,), default="tiny"),
            engines=(EngineSettings(name="e0", url="http://paper", silence_seconds=0.5),),
        )
        self.inbox, self.outbox = self.settings.inbox.path, self.settings.outbox.path
        for folder in (self.inbox, self.outbox):
            folder.mkdir()
        self.pictures: dict[str, str] = {}  # digests of what was dropped, by stem
        self.asked: Counter[str] = Counter()  # how many videos of each a person asked for
        self.steps: list[tuple[State, State]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.run(self._start())

    def run(self, work: object) -> object:
        """Do something, and let what follows from it happen."""

        async def whole() -> object:
            result = await work  # type: ignore[misc]
            await self._calm()
            return result

        return self.loop.run_until_complete(whole())

    def rest(self) -> None:
        """Let what follows happen."""
        self.run(asyncio.sleep(0))

    # What people do.

    def drop(self, *, sound: bool, ticket: bool) -> None:
        """Put a picture into the inbox, perhaps with a ticket that nobody can use."""
        stem = f"cat{len(self.pictures)}"
        content = b"\x89PNG\r\n\x1a\n" + stem.encode() + self.chance.randbytes(20)
        (self.inbox / f"{stem}.png").write_bytes(content if sound else b"no picture " + content[8:])
        if ticket:
            (self.inbox / f"{stem}.toml").write_text(
                'prompt = "a walk"' if sound else "nonsense = 1"
            )
        shown = content if sound else b"no picture " + content[8:]
        self.pictures[stem] = hashlib.sha256(shown).hexdigest()
        self.asked[stem] = 1

    def take(self) -> None:
        """Take what lies in the inbox."""
        for drop in list(self._drops()):
            self.run(self.intake.take(drop))

    def die_while_taking(self, at: int) -> None:
        """Take one picture, and end before the so-many-th call that changes a file; then start again."""
        drop = next(self._drops(), None)
        if drop is None:
            return
        kill = Kill(at)
        with pytest.MonkeyPatch.context() as patch:
            kill.install(patch)
            # Of whatever the end of a process does in its last moment, nothing reaches the disk.
            with contextlib.suppress(Killed, Exception):
                self.loop.run_until_complete(self.intake.take(drop))
        self.restart()

    def restart(self) -> None:
        """End the service's part at once, and begin anew."""
        self.run(self._stop())
        self.run(self._start())

    def decide(self, verb: str) -> None:
        """Have a person decide something about one of the jobs; the service may say no."""
        jobs = self.jobs()
        if not jobs:
            return
        job = self.chance.choice(jobs)
        with contextlib.suppress(ZoetropeError):
            self.run(getattr(self.conductor, verb)(job.id))

    def move_back(self) -> None:
        """Move a rejected picture back into the inbox, as the reason next to it says."""
        for file in sorted((self.inbox / "rejected").glob("*.png")):
            target = self.inbox / file.name
            if not target.exists():
                file.rename(target)
                self.asked[file.name.partition(".")[0]] += 1
                return

    # What has to hold.

    def jobs(self) -> list[Job]:
        """List all jobs, as they are when nothing is under way, in folders either."""
        while True:
            before = self.ledger.writes
            rows = self.loop.run_until_complete(self.ledger.page(JobQuery(limit=10_000)))
            if self.ledger.writes == before and not self._threads.busy:
                return [row.job for row in rows]
            self.rest()

    def check(self) -> None:
        """See that every promise holds, whatever is under way."""
        for task in self._tasks:
            if task.done():
                task.result()  # a part that ended with an error ends the whole service
        for before, after in self.steps:
            assert after in FOLLOWS[before], f"a job went from {before} to {after}"
        self.steps.clear()
        jobs = self.jobs()
        self._none_lost()
        for job in jobs:
            internal = job.reason is not None and job.reason.key == "internal"
            assert not internal, f"{job.stem}: {job.reason}"
        made = Counter(job.stem for job in jobs if job.state is State.DONE)
        for stem, number in made.items():
            assert number <= self.asked[stem], f"{stem} became {number} videos"
        self._folders_agree(jobs)

    def settle(self) -> None:
        """Let everything come to its end, with an engine that works and a person who approves."""
        self.engine.switch(up=True)
        for _ in range(40 + 12 * len(self.pictures)):
            self.take()
            while self.engine.decide("done"):
                self.rest()
            for job in self.jobs():
                if job.state is State.REVIEW:
                    self.run(self.conductor.approve(job.id))
            if all(job.state in ENDED for job in self.jobs()) and not list(self._drops()):
                break
            self.run(asyncio.sleep(0.05))
        jobs = self.jobs()
        assert all(job.state in ENDED for job in jobs), [(j.stem, j.state, j.reason) for j in jobs]
        assert {job.stem for job in jobs} >= set(self.pictures), "a picture never became a job"
        self.check()
        # The last row of a job is written before its work goes.
        for _ in range(TIDY):
            if not (left := self._untidy()):
                break
            self.run(asyncio.sleep(0.05))
        assert not left, f"left: {left}"

    def _untidy(self) -> list[str]:
        """Name what is left in the outbox and of work when every job has ended."""
        jobs = self.jobs()
        kept = {job.id for job in jobs if job.state is not State.DONE}
        left = [path.name for path in self.outbox.rglob(".*")]
        return left + [each.name for each in self.settings.work.iterdir() if each.name not in kept]

    def close(self) -> None:
        """End everything."""
        self.run(self._stop())
        self.loop.close()
        self.patch.undo()

    def _none_lost(self) -> None:
        there = {
            hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in (self.inbox, self.settings.state.path, self.outbox)
            for path in folder.rglob("*")
            if path.is_file() and not path.is_symlink() and path.suffix in (".png", ".bin", ".part")
        }
        lost = [stem for stem, digest in self.pictures.items() if digest not in there]
        assert not lost, f"lost: {lost}"

    def _folders_agree(self, jobs: list[Job]) -> None:
        folders: dict[str, str] = {}
        for receipt in self.outbox.glob("[!.]*/receipt.json"):
            folders[receipt.parent.name] = json.loads(receipt.read_bytes())["job"]
        assert len(set(folders.values())) == len(folders), "a job has two folders"
        for job in jobs:
            if job.state is State.DONE:
                assert folders.pop(job.outbox, None) == job.id, (
                    f"{job.stem} is done without a folder"
                )
                assert all(stage.state is Progress.DONE for stage in job.stages)
        states = {job.id: job for job in jobs}
        for name, owner in folders.items():
            job = states.get(owner)
            published = job is not None and job.stage is None and job.state is not State.DONE
            assert published, f"nobody's folder: {name}"

    # How it works.

    async def _start(self) -> None:
        self._threads = CountedThreads(8)
        self.loop.set_default_executor(self._threads)
        self.ledger = await Ledger.open(self.settings.ledger_file)
        self.ledger.on_change(self._note)
        self.bus = Bus(self.outbox, kept=KEPT)
        self.ledger.on_change(lambda _, job: self.bus.job(job))
        recipes = Recipes((RECIPES,), Versions(self.settings.recipe_versions))
        identity = OutboxIdentity(self.outbox, self.settings.outbox_identity)
        returned = Returned(self.settings, identity)
        self.conductor = Conductor(
            self.settings,
            ledger=self.ledger,
            recipes=recipes,
            engines=[self.engine],
            outbox=Outbox(self.outbox),
            withdraw=returned.withdraw,
            give_back=returned.give_back,
            take_back=returned.take_back,
            tell=self.bus.progress,
            hashes=Hashes(None, (), self.settings.model_hashes),
        )
        self.intake = Intake(
            self.settings,
            self.ledger,
            recipes,
            PaperDecoder(),  # type: ignore[arg-type]
            randomness=self.chance,
            outbox=identity,
        )
        await self.intake.recover()
        self._tasks = [
            asyncio.create_task(self.conductor.run()),
            asyncio.create_task(self.intake.run(NoWatcher())),  # type: ignore[arg-type]
        ]

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.ledger.close()
        # Of a process that ends, no thread lives on beside the next one.
        self._threads.shutdown()

    def _note(self, before: Job | None, after: Job) -> None:
        if before is not None:
            self.steps.append((before.state, after.state))

    async def _calm(self) -> None:
        """Wait until nothing has been written for a moment, and no thread works."""
        quiet, before = 0, -1
        while quiet < 4:
            await asyncio.sleep(0.004)
            now = self.ledger.writes if self._tasks else 0
            quiet = quiet + 1 if now == before and not self._threads.busy else 0
            before = now

    def _drops(self) -> Iterator[Drop]:
        names = sorted(path.name for path in self.inbox.iterdir() if path.is_file())
        entries = [classify(name) for name in names]
        for entry in entries:
            if entry.kind is EntryKind.PICTURE:
                beside = [
                    each
                    for each in entries
                    if each.kind is EntryKind.TICKET and each.stem == entry.stem
                ]
                yield Drop(pictures=(entry,), tickets=tuple(beside))


class NoWatcher:
    """A watcher that sees nothing: what is taken is decided by hand."""

    async def next(self) -> Drop:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError

    def done(self, _: Drop) -> None:
        """Nothing to forget."""

    def hand_out(self) -> None:
        """Nothing to hand out."""


def counted(town: Town) -> dict[str, int]:
    """Count how the jobs of a town stand."""
    return dict(Counter(str(job.state) for job in town.jobs()))
