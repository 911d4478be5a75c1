"""A picture that cannot be given back at once: its job says so, and it is given back later."""

import asyncio
import contextlib

import pytest

from tests.fakes.pipeline import PATIENCE, Pipeline, order
from zoetrope.domain.job import Job, State
from zoetrope.jobs import owed


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.publisher.FIRST_PAUSE", 0.05)
    monkeypatch.setattr("zoetrope.jobs.publisher.LONGEST_PAUSE", 0.1)


async def says(pipeline: Pipeline, job: Job, key: str) -> Job:
    """Wait until a job says why its picture is not given back yet, or nothing any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            pipeline.changed.clear()
            now = await pipeline.ledger.get(job.id)
            if (now.unreturned.key if now.unreturned is not None else "") == key:
                return now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await pipeline.changed.wait()


async def test_a_failed_job_says_that_its_picture_is_not_given_back_until_it_is(pipeline):
    pipeline.full = True
    order(pipeline, "oom", node="ImageScale", times=0)
    job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    said = await says(pipeline, job, "not-returned")
    assert said.reason.key == "oom", "why it failed is said as well"
    assert said.updated == job.updated, "and it has ended when it did"
    assert pipeline.conductor.status().waiting[job.id].key == "not-returned"
    # A restart changes nothing of it.
    await pipeline.stop()
    await pipeline.start()
    await pipeline.until(lambda: job.id in pipeline.conductor.status().waiting)
    assert pipeline.explained == []
    pipeline.full = False
    await says(pipeline, job, "")
    assert [each.id for each in pipeline.explained] == [job.id]
    await pipeline.until(lambda: not pipeline.conductor.status().waiting)
    await pipeline.stop()
    await pipeline.start()
    assert owed.owing(pipeline.settings.work) == []
    assert len(pipeline.explained) == 1


async def test_a_retry_is_owed_nothing(pipeline):
    pipeline.full = True
    order(pipeline, "oom", node="ImageScale", times=0)
    job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    await says(pipeline, job, "not-returned")
    pipeline.engines[0].faults.clear()
    assert (await pipeline.conductor.retry(job.id)).unreturned is None
    done = await pipeline.becomes(job, State.DONE)
    assert done.unreturned is None
    assert pipeline.explained == []
