import asyncio
import contextlib
import threading
import time

import msgspec
import pytest
from click.testing import CliRunner

from tests.web.fakes import make_job, make_parts
from zoetrope.cli.group import cli
from zoetrope.domain import steps
from zoetrope.domain.job import State
from zoetrope.domain.values import Artefact
from zoetrope.errors import Reason
from zoetrope.jobs.progress import Live
from zoetrope.web.server import Server

FALLBACKS = (
    *("INPUT_IMAGE", "END_IMAGE", "POSITIVE_PROMPT", "NEGATIVE_PROMPT"),
    *("WIDTH", "HEIGHT", "LENGTH", "SEED"),
)
ENVIRONMENT = [
    *FALLBACKS,
    *(f"ZOETROPE_{name}" for name in FALLBACKS),
    "ZOETROPE_URL",
    "ZOETROPE_TOKEN_FILE",
    "ZOETROPE_CONFIG",
]


class Service:
    """The real web server with fake parts, on a thread of its own, as the command line meets it."""

    def __init__(self, home, extra=""):
        self.home = home
        self.extra = extra
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="service")
        self.thread.start()
        self.parts = None
        self.server = None

    def do(self, coroutine):
        """Run a coroutine where the service runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def start(self, listen="127.0.0.1:0"):
        async def begin():
            self.parts = await make_parts(self.home, self.extra)
            web = msgspec.structs.replace(self.parts.settings.web, listen=listen)
            self.parts.settings = msgspec.structs.replace(self.parts.settings, web=web)
            self.ledger = self.parts.ledger
            self.server = Server(self.parts, self.parts.bus)
            await self.server.start()

        self.do(begin())
        self.url = self.server.url
        return self

    def stop(self):
        async def end():
            await self.server.stop()
            await self.ledger.close()

        self.do(end())

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def add(self, state=State.QUEUED, **changes):
        job = make_job(state, **{"created": time.time(), "updated": time.time(), **changes})
        return self.do(self.ledger.add(job, claim=job.id))

    def drive_uploads(self, fate="done"):
        """Take every uploaded job to its end, as conductor and engine would."""
        counter = self.parts.submissions
        tasks = []

        def driven(take):
            async def take_and_drive(*args, **more):
                job = await take(*args, **more)
                tasks.append(asyncio.create_task(self.drive(job.id, fate)))
                return job

            return take_and_drive

        counter.take_upload = driven(counter.take_upload)
        counter.again = driven(counter.again)

    async def drive(self, job_id, fate):
        ledger, bus = self.ledger, self.parts.bus
        now = time.time
        await ledger.change(job_id, lambda j: steps.submit(j, now(), "comfyui"))
        await ledger.change(job_id, lambda j: steps.start(j, now()))
        live = Live(stage="i2v", engine="comfyui", value=5, maximum=10, fraction=0.5, eta=30.0)
        bus.progress(job_id, live)
        if fate == "failed":
            reason = Reason("oom", "The card has too little memory.", "Try a smaller size.")
            await ledger.change(job_id, lambda j: steps.fail(j, now(), reason))
            return
        made = (Artefact(file="a.mp4", size=1, sha256="0"),)
        job = await ledger.change(job_id, lambda j: steps.finish_stage(j, now(), made))
        assert job.state is State.REVIEW
        if fate == "declined":
            await ledger.change(job_id, lambda j: steps.decline(j, now()))
            return
        await ledger.change(job_id, lambda j: steps.approve(j, now()))
        await ledger.change(job_id, lambda j: steps.submit(j, now(), "comfyui"))
        await ledger.change(job_id, lambda j: steps.start(j, now()))
        await ledger.change(job_id, lambda j: steps.finish_stage(j, now(), made))
        name = f"cat-{job_id[:8]}"
        await ledger.publish(job_id, lambda j: steps.publish(j, now(), name), [])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_service(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(extra=""):
            service = Service(tmp_path, extra)
            stack.callback(service.close)
            service.start()
            stack.callback(service.stop)
            return service

        yield make


@pytest.fixture
def service(make_service):
    return make_service()


@pytest.fixture
def run(request):
    """Run the command line; against the test's service, if it has one."""

    def run(*args, said="", **env):
        if "service" in request.fixturenames:
            env.setdefault("ZOETROPE_URL", request.getfixturevalue("service").url)
        return CliRunner().invoke(cli, [str(arg) for arg in args], input=said, env=env)

    return run


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "cat.png"
    file.write_bytes(b"picture")
    return file
