"""The page's figures: answers under load, an upload's memory, and the price of readers."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from PIL import Image

from tests.bench.host import finished_job
from tests.bench.process import PeakMemory, own_megabytes, processor_seconds, wait_until
from tests.bench.table import Figure, percentile
from tests.fakes.ledger import fill
from tests.fakes.service import EngineProcess, ServiceProcess

NOBODY = "http://127.0.0.1:9"


def answers(root: Path, count: int = 100_000, parallel: int = 50) -> Iterator[Figure]:
    """How long requests take that come at once, with many jobs in the ledger."""
    service = ServiceProcess(root, NOBODY)

    fill(service.state / "ledger.db", map(finished_job, range(count)))
    service.start()
    try:
        wait_until(lambda: service.get("/api/v1/jobs?limit=1"), 30)
        for name, path, asked, target in (
            ("/healthz", "/healthz", 5000, 5.0),
            ("list of 50 jobs", "/api/v1/jobs", 2000, 25.0),
            ("list of one recipe's", "/api/v1/jobs?recipe=tiny&state=done", 2000, None),
        ):
            times = asyncio.run(_ask(service.url + path, asked, parallel))
            note = f"median {1000 * statistics.median(times):.1f} ms; {count} jobs"
            title = f"{name}, p99 at {parallel} in parallel"
            yield Figure(title, 1000 * percentile(times, 0.99), "ms", target, note=note)
        times = []
        for number in range(20):  # another word each time: a list that is known is given again
            times += asyncio.run(_ask(f"{service.url}/api/v1/jobs?q=nowhere{number}", 1, 1))
        note = "every job is looked at"
        yield Figure("search without a hit", 1000 * statistics.median(times), "ms", note=note)
    finally:
        service.stop()


async def _ask(url: str, count: int, parallel: int) -> list[float]:
    """Ask again and again, so many at once; gives each answer's time."""
    times: list[float] = []
    left = iter(range(count))
    connector = aiohttp.TCPConnector(limit=parallel)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one() -> None:
            await ask()  # the connection's own time is not the answer's
            for _ in left:
                begun = time.perf_counter()
                await ask()
                times.append(time.perf_counter() - begun)

        async def ask() -> None:
            async with session.get(url) as response:
                await response.read()
                assert response.status == 200

        await asyncio.gather(*(one() for _ in range(parallel)))
    return times


def upload(root: Path, megabytes: int = 50) -> Iterator[Figure]:
    """What the service's own process grows by while a large picture is sent to it."""
    service = ServiceProcess(root, NOBODY)
    # Noise cannot be compressed: three bytes a pixel.
    edge = int((megabytes * 1_000_000 / 3) ** 0.5) + 1
    large, small = root / "large.png", root / "small.png"
    Image.frombytes("RGB", (edge, edge), os.urandom(3 * edge * edge)).save(large, compress_level=0)
    Image.frombytes("RGB", (64, 64), os.urandom(3 * 64 * 64)).save(small)
    service.start()
    try:
        wait_until(lambda: service.get("/api/v1/jobs?limit=1"), 30)
        assert service.process is not None
        pid = service.process.pid
        asyncio.run(_send(service.url, small))  # so that the threads and the decoder are there
        before = own_megabytes(pid)
        begun = time.perf_counter()
        with PeakMemory(pid, every=0.005, measure=own_megabytes) as memory:
            asyncio.run(_send(service.url, large))
        seconds = time.perf_counter() - begun
    finally:
        service.stop()
    size = large.stat().st_size / 1e6
    note = f"{size:.0f} MB sent, opened and taken in {seconds:.1f} s; {before:.0f} MB before"
    yield Figure("upload: memory grows by", memory.peak - before, "MB", 10, note=note)


async def _send(url: str, file: Path) -> None:
    form = aiohttp.FormData()
    with file.open("rb") as content:
        form.add_field("image", content, filename=file.name)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/api/v1/jobs", data=form) as response,
        ):
            assert response.status == 201, await response.text()


def readers(root: Path, count: int = 100, seconds: float = 10) -> Iterator[Figure]:
    """Processor time while many follow a job whose engine reports faster than anybody can look."""
    engine = EngineProcess(root / "engine", "--step-seconds", "0.04")
    service = ServiceProcess(root, engine.url)
    engine.start()
    service.start()
    try:
        wait_until(lambda: service.get("/api/v1/jobs?limit=1"), 30)
        assert service.process is not None
        for number in range(20):
            picture = root / f"p{number}.png"
            Image.frombytes("RGB", (64, 64), os.urandom(3 * 64 * 64)).save(picture)
            (service.inbox / f"p{number}.toml").write_text("steps = 100")
            picture.rename(service.inbox / picture.name)
        wait_until(lambda: service.get("/api/v1/jobs?state=running")["jobs"], 30)
        alone, _ = asyncio.run(_listen(service, 0, seconds))
        together, events = asyncio.run(_listen(service, count, seconds))
    finally:
        service.stop()
        engine.stop()
    note = f"{events / seconds:.0f} events a second in all; without readers {100 * alone:.1f} %"
    yield Figure(f"{count} readers, share of a core", 100 * together, "%", 20, note=note)


async def _listen(service: ServiceProcess, count: int, seconds: float) -> tuple[float, int]:
    """Read the stream so many times at once; gives the service's share of a core and all events."""
    assert service.process is not None
    pid, heard = service.process.pid, 0
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def read() -> None:
            nonlocal heard
            async with session.get(f"{service.url}/api/v1/events") as response:
                async for line in response.content:
                    heard += line.startswith(b"event: ")

        tasks = [asyncio.create_task(read()) for _ in range(count)]
        await asyncio.sleep(1)
        heard, before = 0, processor_seconds(pid)
        await asyncio.sleep(seconds)
        share, events = (processor_seconds(pid) - before) / seconds, heard
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return share, events
