"""The whole pipeline behind the inbox, in one process: ledger, conductor, and simulated engines."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from tests.fakes.service import free_port
from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Attempt, Job, Stage, State
from zoetrope.domain.values import Ticket
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.simulated import Fault, FaultKind, SimulatedEngine
from zoetrope.errors import NotReadable
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.jobs import owed
from zoetrope.jobs.conductor import Conductor
from zoetrope.jobs.engine_kills import EngineKills
from zoetrope.jobs.kernel_log import Kill
from zoetrope.jobs.memory_budget import HostMemory
from zoetrope.jobs.outages import Outages
from zoetrope.jobs.outbox import Outbox
from zoetrope.jobs.outbox_identity import OutboxIdentity
from zoetrope.jobs.share_answers import ShareAnswers
from zoetrope.models.hashes import Hashes, sha256_of
from zoetrope.places import Places
from zoetrope.settings import (
    EngineSettings,
    InboxSettings,
    JobsSettings,
    LintSettings,
    ModelsSettings,
    OutboxSettings,
    Settings,
    StateSettings,
)
from zoetrope.store.sqlite.ledger import Ledger

RECIPES = Path(__file__).parents[1] / "recipes"
PATIENCE = 120.0  # of a busy machine; no test waits that long where all is well


class Restartable(ComfyEngine):
    """The real client, whose engine is restarted in this process instead of by a unit."""

    simulated: SimulatedEngine
    restarts = 0
    may_restart = True

    @property
    def can_restart(self) -> bool:
        return self.may_restart

    async def restart(self) -> None:
        self.restarts += 1
        await self.simulated.restart()


class Pipeline:
    """Starts, stops and starts again; jobs are put straight into the ledger."""

    def __init__(self, root: Path, *, engines: int = 1, recipes: Path = RECIPES) -> None:
        self.root = root
        self.recipes = recipes
        self.engines = [
            SimulatedEngine(root / f"engine{n}", respawn_seconds=0.1) for n in range(engines)
        ]
        self.ledger: Ledger
        self.conductor: Conductor
        self.answers: ShareAnswers
        self.hashes: Hashes
        self.addresses: dict[int, str] = {}  # of engines that are reached through something else
        self.sha256 = sha256_of  # how model files are hashed from the next start on
        self.clients: list[Restartable] = []
        self.explained: list[Job] = []
        self.full = False  # no picture can be given back
        self.withdrawn: list[Job] = []
        self.given_back: list[Job] = []
        self.taken_back: list[Job] = []
        self.settings = Settings()
        self.changed = asyncio.Event()
        self.embed_graph = False
        self.flag_folder: Path | None = None  # where flags are asked for
        self.killed: list[Kill] = []  # as the kernel's log says
        self.memory: HostMemory | None = None  # of the host, as the kernel says
        self.jobs_settings = JobsSettings(patience_seconds=20)
        self.lint_settings = LintSettings()
        self.models_settings = ModelsSettings()
        self.places: Places | None = None
        self.outages = Outages()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the service's part; the engines are started by the first call."""
        for engine in self.engines:
            if not engine.url:
                # One that no connection of another test has when the engine is started again.
                await engine.start(port=free_port())
        self.settings = Settings(
            inbox=InboxSettings(path=self.root / "inbox"),
            outbox=OutboxSettings(path=self.root / "outbox", embed_graph=self.embed_graph),
            state=StateSettings(path=self.root / "state", min_free_megabytes=0),
            engines=tuple(
                EngineSettings(
                    name=f"e{n}",
                    url=self.addresses.get(n, engine.url),
                    silence_seconds=0.3,
                    report=self.root / f"e{n}.json",  # a test may put it there before the start
                    flag_request=self.flag_folder and self.flag_folder / f"e{n}.json",
                )
                for n, engine in enumerate(self.engines)
            ),
            jobs=self.jobs_settings,
            lint=self.lint_settings,
            models=self.models_settings,
        )
        with contextlib.suppress(FileExistsError):  # a test may have put something else there
            self.settings.outbox.path.mkdir()
        self.ledger = await Ledger.open(self.settings.ledger_file)
        self.ledger.on_change(lambda *_: self.changed.set())
        client_id = await self.ledger.fact("client-id", lambda: uuid.uuid4().hex)
        self.clients = []
        for engine, settings in zip(self.engines, self.settings.engines, strict=True):
            client = Restartable(settings, client_id)
            client.simulated = engine
            self.clients.append(client)
        models = self.settings.models
        self.hashes = Hashes(
            models.path, models.folders, self.settings.model_hashes, sha256=self.sha256
        )
        self.conductor = Conductor(
            self.settings,
            ledger=self.ledger,
            recipes=Recipes((self.recipes,), Versions(self.settings.recipe_versions)),
            engines=self.clients,
            outbox=Outbox(
                self.settings.outbox.path,
                OutboxIdentity(self.settings.outbox.path, self.settings.outbox_identity),
            ),
            withdraw=self._withdraw,
            give_back=self._give_back,
            take_back=self._take_back,
            tell=lambda _, __: self.changed.set(),
            hashes=self.hashes,
            places=self.places,
            outages=self.outages,
            memory=lambda _: self.memory,
            kills=EngineKills(self.settings.engines, log=self._kernel_log),
        )
        self.answers = ShareAnswers(
            self.settings.outbox.path,
            ledger=self.ledger,
            approve=self.conductor.approve,
            decline=self.conductor.decline,
            tidy=self.conductor.tidy,
            work=self.settings.work,
            pause=0.05,
        )
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.hashes.run())
            group.create_task(self.conductor.run())
            group.create_task(self.answers.run())

    async def stop(self) -> None:
        """End the service's part as SIGTERM does; engines go on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.ledger.close()

    async def failed(self) -> None:
        """Wait until the service's part ends by itself, and raise what ended it."""
        assert self._task is not None
        try:
            await self._task
        finally:
            self._task = None
            await self.ledger.close()

    async def close(self) -> None:
        """End everything."""
        await self.stop()
        for engine in self.engines:
            await engine.stop()

    def _kernel_log(self, since: float) -> tuple[Kill, ...]:
        return tuple(each for each in self.killed if each.at >= since)

    async def _withdraw(self, job: Job) -> None:
        self.withdrawn.append(job)

    async def _give_back(self, job: Job) -> None:
        if job.state is State.CANCELLED:
            self.given_back.append(job)
        elif job.state in (State.FAILED, State.REJECTED):
            folder = self.settings.work / job.id
            if not owed.is_owed(folder):
                return
            if self.full:
                raise NotReadable("The share takes nothing.", "See to it.", key="not-returned")
            self.explained.append(job)
            owed.paid(folder)

    async def _take_back(self, job: Job) -> None:
        self.taken_back.append(job)

    async def waits(self, job: Job, key: str) -> Job:
        """Wait until a job says that it waits for something of the host's, and give it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.changed.clear()
                now = await self.ledger.get(job.id)
                if now.reason is not None and now.reason.key == key:
                    return now
                assert now.state not in (State.FAILED, State.REJECTED), now.reason
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.2)

    async def drop(
        self,
        *,
        stem: str = "cat",
        review: bool = False,
        colour: int = 90,
        fingerprint: str = "",
        parent: str = "",
        pixels: str = "",
        **asked: object,
    ) -> Job:
        """Put a job into the ledger, as the inbox does."""
        job_id = uuid.uuid4().hex
        work = self.settings.work / job_id
        work.mkdir(parents=True)
        Image.linear_gradient("L").resize((64, 64)).point(lambda v: (v + colour) % 256).convert(
            "RGB"
        ).save(work / "cat.png")
        data = (work / "cat.png").read_bytes()
        image = plain_image(sha256=hashlib.sha256(data).hexdigest(), size=len(data), pixels=pixels)
        ticket = Ticket(recipe=str(asked.pop("recipe", "tiny")), **asked)  # type: ignore[arg-type]
        job = Job(
            id=job_id,
            created=1.0,
            updated=1.0,
            state=State.QUEUED,
            stem=stem,
            images=(image,),
            ticket=ticket,
            fingerprint=fingerprint,
            parent=parent,
            seed=ticket.seed or 0,
            stages=(Stage(name="i2v", review=review), Stage(name="upscale")),
        )
        return await self.ledger.add(job, claim=job_id)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to come true, looked at whenever a job changes or an engine moves."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.05)

    async def becomes(self, job: Job, *states: State) -> Job:
        """Wait until a job is in one of some states, and the service has done all that it does at such an end."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.changed.clear()
                now = await self.ledger.get(job.id)
                if now.state in states and not self._is_in_hand(now):
                    return now
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.2)

    def _is_in_hand(self, job: Job) -> bool:
        """Whether a job has ended by itself, and what follows is still being done: people are told, its work goes."""
        if job.state not in (State.DONE, State.FAILED, State.REJECTED):
            return False
        status = self.conductor.status()
        left = job.state is State.DONE and job.id in status.waiting
        return left or any(job.id in worker.in_hand for worker in status.workers)

    async def until_attempt(self, job: Job, number: int) -> Attempt:
        """Wait until an attempt of a job's present stage is open, and give it."""
        async with asyncio.timeout(PATIENCE):
            while (found := (await self.ledger.get(job.id)).attempt) is None or (
                found.number < number
            ):
                await asyncio.sleep(0.01)
            return found

    async def until_tried(self, job: Job, times: int) -> None:
        """Wait until a job's present stage has failed so often; attempts that a row leaves out count as well."""
        async with asyncio.timeout(PATIENCE):
            while (stage := (await self.ledger.get(job.id)).stage) is None or not (
                stage.attempts and stage.attempts[-1].number >= times
            ):
                await asyncio.sleep(0.01)

    async def until_queued(self, prompt_id: str) -> None:
        """Wait until a prompt waits in the queue of the first engine."""
        async with asyncio.timeout(PATIENCE):
            while True:
                waiting = [entry.prompt_id for entry in await self.clients[0].queue()]
                if prompt_id in waiting:
                    return
                await asyncio.sleep(0.01)

    def videos(self) -> list[str]:
        """Name every finished video in the outbox."""
        return sorted(
            str(p.relative_to(self.root / "outbox"))
            for p in (self.root / "outbox").glob("*/*.mp4")
            if p.parent.name != "review"
        )


def order(pipeline: Pipeline, kind: FaultKind, **details: Any) -> None:
    """Order a fault of the first engine."""
    pipeline.engines[0].faults.order(Fault(kind, **details))


def hold(pipeline: Pipeline) -> None:
    """Have stages of the first engine last until its faults are cleared, however busy the machine is."""
    order(pipeline, "slow", seconds=60.0, times=0)


async def ask(pipeline: Pipeline, path: str) -> Any:
    """Ask the first engine behind the service's back."""
    async with aiohttp.ClientSession() as http, http.get(pipeline.engines[0].url + path) as answer:
        return await answer.json()


def receipt(pipeline: Pipeline, job: Job) -> dict[str, Any]:
    """Read the receipt of a finished job."""
    content: dict[str, Any] = json.loads(
        (pipeline.root / "outbox" / job.outbox / "receipt.json").read_text()
    )
    return content


def recipe_with(tmp_path: Path, node: str, key: str, value: object) -> None:
    """Copy the tiny recipe with one input of its first graph changed."""
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    file = tmp_path / "recipes" / "tiny" / "i2v.json"
    graph = json.loads(file.read_text())
    graph[node]["inputs"][key] = value
    file.write_text(json.dumps(graph))
