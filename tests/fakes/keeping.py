"""A host whose retention runs: state, inbox and outbox of a service, and clocks that a test sets."""

from __future__ import annotations

from pathlib import Path

from tests.web.fakes import make_job
from zoetrope.domain.job import Job, State
from zoetrope.inbox.rejected import RejectedPictures
from zoetrope.inbox.returned import Returned
from zoetrope.jobs.keeper import Holding, Keeper
from zoetrope.jobs.outbox_identity import OutboxIdentity
from zoetrope.jobs.published import PublishedVideos
from zoetrope.jobs.work import EndedWork, WorkFolders
from zoetrope.settings import InboxSettings, KeepSettings, OutboxSettings, Settings, StateSettings
from zoetrope.store.sqlite.ledger import Ledger

NOW = 1_800_000_000.0


class Host:
    """State, inbox and outbox of a service, and clocks that a test sets."""

    def __init__(self, root: Path, keep: KeepSettings) -> None:
        self.settings = Settings(
            inbox=InboxSettings(path=root / "inbox"),
            outbox=OutboxSettings(path=root / "outbox"),
            state=StateSettings(path=root / "state"),
            keep=keep,
        )
        for folder in (self.settings.inbox.path, self.settings.outbox.path, self.settings.work):
            folder.mkdir(parents=True, exist_ok=True)
        self.wall, self.steady = NOW, 1000.0
        self.ledger: Ledger
        self.keeper: Keeper

    async def open(self) -> None:
        self.ledger = await Ledger.open(self.settings.ledger_file)
        self.start()

    def start(self) -> None:
        """Begin as a new process does."""
        settings, clock = self.settings, lambda: self.wall
        outbox = OutboxIdentity(settings.outbox.path, settings.outbox_identity)
        returned = Returned(settings, outbox)
        places: list[Holding] = [
            EndedWork(WorkFolders(settings.work), self.ledger, clock, give_back=returned.give_back),
            RejectedPictures(settings.inbox.path, settings.outbox.path),
            PublishedVideos(settings.outbox.path, self.ledger, clock),
        ]
        self.keeper = Keeper(settings, places, clock=clock, steady=lambda: self.steady)

    async def passes(self, seconds: float) -> None:
        """Let time pass, as both clocks say."""
        self.wall += seconds
        self.steady += seconds
        await self.keeper.sweep()

    async def job(self, state: State, *, files: int = 3, **more: object) -> Job:
        """Make a job that has a work folder."""
        job = make_job(state, **more)
        folder = self.settings.work / job.id / "stages"
        folder.mkdir(parents=True)
        for number in range(files):
            (folder / f"clip{number}.mp4").write_bytes(b"x" * 4096)
        return await self.ledger.add(job, claim=job.id)

    def there(self, job: Job) -> bool:
        return (self.settings.work / job.id).is_dir()

    def reject(self, name: str = "cat") -> Path:
        """Lay a rejected picture with its ticket and its reason."""
        folder = self.settings.inbox.path / "rejected"
        folder.mkdir(exist_ok=True)
        for end in (".png", ".toml", ".png.why.txt"):
            (folder / f"{name}{end}").write_text(f"{name}.png was rejected.\n")
        return folder
