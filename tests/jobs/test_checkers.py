"""Videos are checked by a few processes at a time, however many jobs are finished at once."""

import asyncio

import pytest

from tests.fakes.pipeline import Pipeline
from zoetrope.domain.job import State
from zoetrope.domain.verdict import Verdict
from zoetrope.inbox.source_image import CopiedSource, Decoder
from zoetrope.jobs import stage_results
from zoetrope.places import Places

JOBS = 3


@pytest.fixture
def checked_here() -> None:
    """Leave the processes, which are what these tests count."""


@pytest.fixture
async def pipeline(tmp_path):
    pipeline = Pipeline(tmp_path)
    pipeline.places = Places(2)
    await pipeline.start()
    yield pipeline
    await pipeline.close()


async def test_many_jobs_are_checked_by_a_few_processes_and_pictures_are_opened_meanwhile(
    pipeline, monkeypatch
):
    at_once, most, go = 0, 0, asyncio.Event()

    async def check(video, *args, **more):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await go.wait()
        at_once -= 1
        return Verdict(file=video.name)

    monkeypatch.setattr(stage_results, "check", check)
    jobs = [await pipeline.drop(stem=f"cat{number}", colour=number) for number in range(JOBS)]
    await pipeline.until(lambda: len(pipeline.conductor.status().workers[0].in_hand) == JOBS)
    await pipeline.until(lambda: at_once == 1)
    # All places that videos may have are taken; a picture does not wait for them.
    work = pipeline.settings.work / jobs[0].id
    decoder = Decoder(pipeline.settings.inbox, places=pipeline.places)
    source = CopiedSource(name="cat.png", file="cat.png", sha256="", size=1)
    async with asyncio.timeout(45):
        assert (await decoder.open(work, source)).width == 64
    await decoder.close()
    go.set()
    for job in jobs:
        await pipeline.becomes(job, State.DONE)
    assert most == 1


async def test_so_many_processes_are_there_and_no_more(pipeline, monkeypatch):
    """With the real processes: each is counted from its start until it has ended."""
    there, most = 0, 0
    start = asyncio.create_subprocess_exec

    async def counted(*args, **more):
        nonlocal there, most
        process = await start(*args, **more)
        there += 1
        most = max(most, there)

        async def gone():
            nonlocal there
            await process.wait()
            there -= 1

        tasks.append(asyncio.create_task(gone()))
        return process

    tasks: list[asyncio.Task[None]] = []
    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    jobs = [await pipeline.drop(stem=f"cat{number}", colour=number) for number in range(3)]
    for job in jobs:
        await pipeline.becomes(job, State.DONE)
    await asyncio.gather(*tasks)
    assert len(tasks) >= 6, "each video was checked"
    assert most == 1
