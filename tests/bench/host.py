"""The figures of a service that has little to do: ledger, start, help, idleness."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from msgspec.json import encode

from tests.bench.process import memory_megabytes, processor_seconds
from tests.bench.table import Figure, percentile
from tests.fakes.ledger import fill, fill_first_schema
from tests.fakes.service import EngineProcess, ServiceProcess
from tests.fakes.source_image import plain_image
from zoetrope.domain.job import Attempt, Job, Progress, Stage, State
from zoetrope.domain.query import JobQuery
from zoetrope.domain.values import Artefact, Ticket
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.store.sqlite.schema import open_file


def finished_job(number: int, state: State = State.DONE) -> Job:
    """Make a job as it stands in the ledger after two stages."""
    job_id = uuid.uuid4().hex
    attempt = Attempt(
        number=1,
        prompt_id=str(uuid.uuid4()),
        engine="e0",
        graph="0" * 64,
        version="0.27.1",
        state=Progress.DONE,
        submitted=1.0,
        started=2.0,
        ended=3.0,
    )
    artefact = Artefact(file="i2v-1.mp4", size=1_000_000, sha256="1" * 64)
    stages = tuple(
        Stage(name=name, state=Progress.DONE, attempts=(attempt,), artefacts=(artefact,))
        for name in ("i2v", "upscale")
    )
    image = plain_image(
        f"p{number}.png",
        sha256=f"{number:064x}",
        width=1216,
        height=832,
        source="p.png",
        file="p.png",
    )
    return Job(
        id=job_id,
        created=1.0,
        updated=4.0,
        state=state,
        stem=f"p{number}",
        images=(image,),
        ticket=Ticket(recipe="tiny", prompt="Beat 1 (0-2s): a slow zoom."),
        fingerprint=f"{number:064x}",
        stages=stages if state is State.DONE else (Stage(name="i2v"), Stage(name="upscale")),
    )


def ledger(root: Path, count: int = 100_000) -> Iterator[Figure]:
    """Questions to a ledger with many finished jobs, and a start with it."""

    async def measure() -> list[Figure]:
        jobs = [finished_job(number) for number in range(count)]
        queued = [finished_job(count + number, State.QUEUED) for number in range(20)]
        fill(root / "state" / "ledger.db", [*jobs, *queued])
        ids = [job.id for job in jobs]
        ledger = await Ledger.open(root / "state" / "ledger.db")
        figures = []

        async def timed(name: str, ask: Callable[[int], Awaitable[object]]) -> None:
            times = []
            for number in range(500):
                begun = time.perf_counter()
                await ask(number)
                times.append(time.perf_counter() - begun)
            note = f"median {1000 * statistics.median(times):.2f} ms"
            figures.append(Figure(name, 1000 * percentile(times, 0.99), "ms", 5, note=note))

        await timed(
            "ledger list of 50, p99",
            lambda n: ledger.page(JobQuery(before=count - n * 100 % count)),
        )
        await timed("ledger get, p99", lambda n: ledger.get(ids[n * 199 % count]))
        await timed("ledger oldest queued, p99", lambda _: ledger.oldest(5.0))
        await timed("ledger what waits, p99", lambda _: ledger.waiting(5.0, 20))
        await ledger.close()
        return figures

    yield from asyncio.run(measure())
    service = ServiceProcess(root, "http://127.0.0.1:9")
    begun = time.perf_counter()
    seconds = _until_ready(service, begun)
    service.stop()
    yield Figure("start to ready", seconds, "s", 1, note=f"with {count} finished jobs")
    old = root / "old.db"
    jobs = (finished_job(number) for number in range(count))
    fill_first_schema(old, ((job.id, job.state, job.stem, encode(job)) for job in jobs))
    begun = time.perf_counter()
    connection, lock = open_file(old)
    seconds = time.perf_counter() - begun
    connection.close()
    lock.close()
    yield Figure("ledger of the first schema lifted", seconds, "s", 10, note=f"with {count} jobs")
    begun = time.perf_counter()
    connection, lock = open_file(old)
    seconds = time.perf_counter() - begun
    connection.close()
    lock.close()
    yield Figure("ledger opened", 1000 * seconds, "ms", 500, note=f"with {count} jobs")


def _until_ready(service: ServiceProcess, begun: float) -> float:
    address = service.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(30)
        with service.log.open("ab") as log:
            service.process = subprocess.Popen(
                [sys.executable, "-m", "zoetrope", "serve", "--config", str(service.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(address)},
            )
        while b"READY=1" not in listener.recv(4096):
            pass
        return time.perf_counter() - begun


def help_time(count: int = 20) -> Iterator[Figure]:
    """Wall time of `zoetrope --help`."""
    command = str(Path(sys.executable).with_name("zoetrope"))
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        subprocess.run([command, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begun)
    yield Figure("zoetrope --help, median", 1000 * statistics.median(times), "ms", 150)


def idle(root: Path, seconds: float = 60) -> Iterator[Figure]:
    """Processor time and memory of a service that waits, with its engine up."""
    engine = EngineProcess(root / "engine")
    service = ServiceProcess(root, engine.url, idle=True)
    engine.start()
    service.start()
    assert service.process is not None
    try:
        time.sleep(5)
        before = processor_seconds(service.process.pid)
        time.sleep(seconds)
        share = (processor_seconds(service.process.pid) - before) / seconds
        memory = memory_megabytes(service.process.pid)
    finally:
        service.stop()
        engine.stop()
    note = f"over {seconds:g} s, with the settings' own defaults"
    yield Figure("idle processor", 100 * share, "%", 0.5, note=note)
    yield Figure("idle memory", memory, "MB", 60)
