"""What other clients of an engine do to prompts of ours: interrupted, removed, cleared; and what we do ourselves."""

import asyncio

import pytest

from tests.fakes.client import send_foreign, tell
from tests.fakes.pipeline import Pipeline, order
from zoetrope.domain.job import Job, State


async def running(pipeline: Pipeline, job: Job) -> Job:
    """Wait until its newest attempt runs and a sampler has begun, so that it can be interrupted."""
    now = await pipeline.becomes(job, State.RUNNING)

    def begun():
        live = pipeline.conductor.live(job.id)
        return live and live.maximum > 1 and live.started >= now.attempt.submitted

    await pipeline.until(begun)
    return now


async def test_an_interrupted_prompt_is_tried_once_more(pipeline):
    order(pipeline, "slow", seconds=2.0, times=0)
    job = await running(pipeline, await pipeline.drop())
    await tell(pipeline.engines[0].url, "/interrupt")
    pipeline.engines[0].faults.clear()
    job = await pipeline.becomes(job, State.DONE, State.FAILED, State.CANCELLED)
    assert job.state is State.DONE
    kinds = [each.failure.kind if each.failure else None for each in job.stages[0].attempts]
    assert kinds == ["interrupted", None]
    assert len(pipeline.videos()) == 1


async def test_one_that_is_interrupted_again_fails_with_the_reason_and_what_to_do(pipeline):
    order(pipeline, "slow", seconds=2.0, times=0)
    job = await pipeline.drop()
    for attempt in (1, 2):
        await pipeline.until_attempt(job, attempt)
        await running(pipeline, job)
        await tell(pipeline.engines[0].url, "/interrupt")
    job = await pipeline.becomes(job, State.FAILED, State.CANCELLED, State.DONE)
    assert (job.state, job.reason.key) == (State.FAILED, "interrupted")
    assert "Another client of the engine interrupted it" in job.reason.sentence
    assert "retry the job" in job.reason.next_step
    assert [each.id for each in pipeline.explained] == [job.id], "its picture goes back with that"
    pipeline.engines[0].faults.clear()
    await pipeline.conductor.retry(job.id)
    await pipeline.becomes(job, State.DONE)


async def test_a_job_that_is_cancelled_and_at_once_tried_again_was_not_interrupted_by_others(
    pipeline,
):
    order(pipeline, "slow", seconds=2.0, times=0)
    job = await running(pipeline, await pipeline.drop())
    await pipeline.conductor.cancel(job.id)
    await pipeline.conductor.retry(job.id)
    pipeline.engines[0].faults.clear()
    job = await pipeline.becomes(job, State.DONE, State.FAILED)
    kinds = [each.failure.kind if each.failure else None for each in job.stages[0].attempts]
    assert kinds == ["cancelled", None]


@pytest.mark.parametrize("by", ["delete", "clear"])
async def test_a_prompt_that_others_remove_from_the_queue_is_submitted_again(pipeline, by):
    order(pipeline, "no_worker")
    url = pipeline.engines[0].url
    await send_foreign(url)
    job = await pipeline.drop()
    prompt = (await pipeline.until_attempt(job, 1)).prompt_id
    await pipeline.until(lambda: pipeline.conductor.live(job.id))
    await tell(url, "/queue", {"delete": [prompt]} if by == "delete" else {"clear": True})
    await pipeline.until_queued(prompt)
    await pipeline.engines[0].restart()
    job = await pipeline.becomes(job, State.DONE)
    assert [len(stage.attempts) for stage in job.stages] == [1, 1]
    assert len(pipeline.videos()) == 1


async def test_one_that_is_removed_again_and_again_fails_with_the_reason(pipeline, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.stage_run.MOST_RESUBMISSIONS", 1)
    order(pipeline, "no_worker")
    url = pipeline.engines[0].url
    await send_foreign(url)
    job = await pipeline.drop()
    prompt = (await pipeline.until_attempt(job, 1)).prompt_id
    for _ in range(2):
        await pipeline.until_queued(prompt)
        await tell(url, "/queue", {"delete": [prompt]})
    job = await pipeline.becomes(job, State.FAILED)
    assert job.reason.key == "removed"
    assert "keeps removing it from the engine's queue" in job.reason.sentence
    assert "cancel it here" in job.reason.next_step
    assert [each.id for each in pipeline.explained] == [job.id]


async def test_a_job_whose_prompt_others_removed_can_be_cancelled_meanwhile(pipeline):
    order(pipeline, "no_worker")
    url = pipeline.engines[0].url
    await send_foreign(url)
    job = await pipeline.drop()
    prompt = (await pipeline.until_attempt(job, 1)).prompt_id
    await pipeline.until_queued(prompt)
    await pipeline.conductor.cancel(job.id)
    await asyncio.sleep(0.5)
    job = await pipeline.ledger.get(job.id)
    assert (job.state, job.reason.key) == (State.CANCELLED, "cancelled")
    await pipeline.until(lambda: not pipeline.conductor.status().workers[0].in_hand)
