"""A service without engines: the real ledger, and parts that do at once what the real ones do slowly."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.conftest import RECIPES
from tests.fakes.source_image import plain_image
from zoetrope.dispatch.pause import OutsideHours, Pause, Standstill, standstill
from zoetrope.domain import steps
from zoetrope.domain.job import Job, Progress, Stage, State
from zoetrope.domain.values import Ticket
from zoetrope.engine.protocol import Stats
from zoetrope.errors import Reason, Rejected
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.inbox.job_input import JobInput
from zoetrope.inbox.readmission import Readmission
from zoetrope.inbox.request_key import RequestKey
from zoetrope.inbox.status import Held
from zoetrope.jobs.lost_work import LostWork
from zoetrope.jobs.outbox import Outbox
from zoetrope.jobs.outbox_identity import OutboxIdentity
from zoetrope.jobs.progress import Live
from zoetrope.runtime import Runtime
from zoetrope.settings import RecipesSettings, Settings, parse
from zoetrope.store.memory import MemoryLedger
from zoetrope.store.protocol import JobStore
from zoetrope.web.events import Bus

IMAGE = plain_image(size=1000, width=640, height=480, source="source.png", file="source.png")


def make_job(state: State = State.QUEUED, **changes) -> Job:
    job = Job(
        id=uuid.uuid4().hex,
        created=1_700_000_000.0,
        updated=1_700_000_000.0,
        state=state,
        stem="cat",
        images=(IMAGE,),
        ticket=Ticket(recipe="wan22-i2v-hero", prompt="she turns"),
        seed=7,
        stages=(Stage(name="i2v", review=True), Stage(name="upscale")),
    )
    if state is State.REVIEW:
        job = msgspec.structs.replace(
            job, stages=(Stage(name="i2v", review=True, state=Progress.DONE), Stage(name="upscale"))
        )
    return msgspec.structs.replace(job, **changes)


class WorkerStatus(msgspec.Struct, kw_only=True):
    name: str = "comfyui"
    url: str = "http://127.0.0.1:8188"
    up: bool = True
    reason: Reason | None = None
    stats: Stats | None = Stats(version="0.27.1", device="RTX 5080", vram_total=16, vram_free=8)
    since: float = 0.0
    in_hand: tuple[str, ...] = ()
    reconnects: int = 0
    others: int = 0


class Status(msgspec.Struct, kw_only=True):
    paused: Reason | None = None
    standstill: Standstill | None = None
    outside_hours: OutsideHours | None = None
    workers: tuple[WorkerStatus, ...] = ()
    waiting: dict[str, Reason] = {}
    outbox: Reason | None = None


class Conductor:
    """Takes people's orders as the real one does, and runs nothing."""

    def __init__(self, ledger: JobStore) -> None:
        self.ledger = ledger
        self.lives: dict[str, Live] = {}
        self.workers = [WorkerStatus()]
        self.paused: Reason | None = None
        self.standstill: Standstill | None = None
        self.outside_hours: OutsideHours | None = None
        self.interrupted = False
        self.waiting: dict[str, Reason] = {}
        self.outbox: Reason | None = None

    def live(self, job_id: str) -> Live | None:
        return self.lives.get(job_id)

    def status(self) -> Status:
        return Status(
            paused=self.paused,
            standstill=self.standstill,
            outside_hours=self.outside_hours,
            outbox=self.outbox,
            workers=tuple(self.workers),
            waiting=self.waiting,
        )

    async def pause(self, seconds: float | None = None, *, now: bool = False) -> None:
        at = time.time()
        pause = Pause(since=at, until=None if seconds is None else at + seconds)
        self.standstill = standstill(pause, None, at, lambda _: 0.0)
        self.interrupted = now

    async def resume(self, *, now: bool = False) -> None:
        outside = self.standstill is not None and not self.standstill.by_user
        if now and outside:
            said = "Runs outside the working hours until 22:00."
            self.outside_hours = OutsideHours(sentence=said, since=1.0, until=2.0)
        if now or not outside:
            self.standstill = None

    async def approve(self, job_id: str) -> Job:
        return await self.ledger.change(job_id, lambda job: steps.approve(job, time.time()))

    async def decline(self, job_id: str, why: str = "") -> Job:
        return await self.ledger.change(job_id, lambda job: steps.decline(job, time.time(), why))

    async def cancel(self, job_id: str, why: str = "") -> Job:
        return await self.ledger.change(job_id, lambda job: steps.cancel(job, time.time(), why))

    async def retry(self, job_id: str) -> Job:
        return await self.ledger.change(job_id, lambda job: steps.retry(job, time.time()))


class WatchStatus(msgspec.Struct, kw_only=True):
    mode: str = "inotify"
    last_scan: float | None = None
    scanning_seconds: float = 0.0
    problem: Reason | None = None
    unreadable: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()


class Watcher:
    def __init__(self) -> None:
        self.status = WatchStatus(last_scan=time.time())
        self.progress = time.monotonic()


class IntakeStatus(msgspec.Struct, kw_only=True):
    problem: Reason | None = None
    notice: Reason | None = None
    held: tuple[Held, ...] = ()


class Intake:
    """Takes nothing from the inbox."""

    def __init__(self) -> None:
        self.status = IntakeStatus()
        self.mended = False

    async def look_at_folders(self) -> None:
        """Find the folders mended, or as they were."""
        if self.mended:
            self.status.notice = None


class Submissions:
    """Makes a job of what is handed over, unless the ticket asks for a refusal."""

    def __init__(self, ledger: JobStore) -> None:
        self.ledger = ledger
        self.taken: list[dict[str, object]] = []
        self.error: Exception | None = None

    async def take_upload(
        self,
        file: Path,
        name: str,
        ticket: dict[str, object],
        *,
        end: tuple[Path, str] | None = None,
        parent: str = "",
        version: str = "",
        recipe: Mapping[str, str] | None = None,
        key: RequestKey | None = None,
    ) -> Job:
        self.taken.append(
            {
                "file": file,
                "bytes": file.read_bytes(),
                "name": name,
                "ticket": ticket,
                "version": version,
                "recipe": dict(recipe or {}),
                "end": (end[0].read_bytes(), end[1]) if end else None,
            }
        )
        if self.error is not None:
            raise self.error
        if "promt" in ticket:
            raise Rejected("The key promt is unknown; did you mean `prompt`?", "Fix the ticket.")
        job = make_job(
            origin="api",
            stem=Path(name).stem,
            images=(msgspec.structs.replace(IMAGE, name=name),),
        )
        return await self._add(job, key)

    async def again(
        self, earlier: Job, files: tuple[tuple[Path, str], ...], changes: dict[str, object]
    ) -> Job:
        self.taken.append(
            {"files": [(file.read_bytes(), name) for file, name in files], "ticket": changes}
        )
        job = make_job(origin="api", stem=earlier.stem, images=earlier.images, parent=earlier.id)
        return await self.ledger.add(job, claim=job.id)

    async def _add(self, job: Job, key: RequestKey | None) -> Job:
        if key is None:
            return await self.ledger.add(job, claim=job.id)
        job = msgspec.structs.replace(job, request=str(key))
        return await self.ledger.add(job, claim=job.id, others=[key.claim])

    async def take_named(
        self,
        path: str,
        ticket: dict[str, object],
        *,
        parent: str = "",
        key: RequestKey | None = None,
    ) -> Job:
        self.taken.append({"path": path, "ticket": ticket, "parent": parent})
        if self.error is not None:
            raise self.error
        return await self._add(make_job(stem=Path(path).stem), key)

    async def take_input(self, job_input: JobInput) -> Job:
        self.taken.append({"job_input": job_input})
        if self.error is not None:
            raise self.error
        image = msgspec.structs.replace(IMAGE, name=job_input.parts[0].name)
        job = make_job(id=job_input.id, stem=job_input.stem, images=(image,))
        return await self.ledger.add(job, claim=job.id)


def settings(home: Path, extra: str = "") -> Settings:
    for name in ("inbox", "outbox", "state"):
        (home / name).mkdir(exist_ok=True)
    return parse(
        f"""
        [inbox]
        path = "{home}/inbox"
        [outbox]
        path = "{home}/outbox"
        [state]
        path = "{home}/state"
        min_free_megabytes = 0
        [recipes]
        default = "tiny"
        [web]
        listen = "127.0.0.1:0"
        {extra}
        """,
        "test.toml",
    )


class Parts(Runtime):
    """A runtime with the bus that its server tells by."""

    bus: Bus

    def ship(self) -> None:
        """Have the shipped recipes, and their default."""
        self.recipes = Recipes((shipped(),))
        default = RecipesSettings()
        self.settings = msgspec.structs.replace(self.settings, recipes=default)


async def make_parts(home: Path, extra: str = "", store: JobStore | None = None) -> Parts:
    """Make the parts of a service, with a store in memory unless one is given; the caller closes `parts.ledger`."""
    made = settings(home, extra)
    parts = Parts(made)
    parts.bus = Bus(made.outbox.path)
    ledger = MemoryLedger() if store is None else store
    ledger.on_change(lambda _, job: parts.bus.job(job))
    ledger.on_change(parts.tally.see)
    parts.ledger = ledger
    parts.conductor = Conductor(ledger)
    parts.intake = Intake()
    parts.submissions = Submissions(ledger)
    parts.recipes = Recipes((RECIPES,))
    lost = LostWork(made.work, made.lost)
    outbox = Outbox(made.outbox.path, OutboxIdentity(made.outbox.path, made.outbox_identity))
    parts.readmission = Readmission(ledger, parts.recipes, lost, parts.submissions, outbox)
    parts.watcher = Watcher()
    return parts
