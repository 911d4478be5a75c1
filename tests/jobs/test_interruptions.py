"""What other clients of an engine do to prompts of ours: interrupted, removed, cleared; and what we do ourselves."""

import asyncio

import pytest

from tests.fakes.client import send_foreign, tell
from tests.fakes.street import Street, order
from zoetrope.domain.job import Job, State


async def running(street: Street, job: Job) -> Job:
    """Wait until its newest attempt runs and a sampler has begun, so that it can be interrupted."""
    now = await street.becomes(job, State.RUNNING)

    def begun():
        live = street.conductor.live(job.id)
        return live and live.maximum > 1 and live.started >= now.attempt.submitted

    await street.until(begun)
    return now


async def test_an_interrupted_prompt_is_tried_once_more(street):
    order(street, "slow", seconds=0.2, times=0)
    job = await running(street, await street.drop())
    await tell(street.engines[0].url, "/interrupt")
    street.engines[0].faults.clear()
    job = await street.becomes(job, State.DONE, State.FAILED, State.CANCELLED)
    assert job.state is State.DONE
    kinds = [each.failure.kind if each.failure else None for each in job.stages[0].attempts]
    assert kinds == ["interrupted", None]
    assert len(street.videos()) == 1


async def test_one_that_is_interrupted_again_fails_with_the_reason_and_what_to_do(street):
    order(street, "slow", seconds=0.2, times=0)
    job = await street.drop()
    for attempt in (1, 2):
        await street.until_attempt(job, attempt)
        await running(street, job)
        await tell(street.engines[0].url, "/interrupt")
    job = await street.becomes(job, State.FAILED, State.CANCELLED, State.DONE)
    assert (job.state, job.reason.key) == (State.FAILED, "interrupted")
    assert "Another client of the engine interrupted it" in job.reason.sentence
    assert "retry the job" in job.reason.next_step
    assert [each.id for each in street.explained] == [job.id], "its picture goes back with that"
    street.engines[0].faults.clear()
    await street.conductor.retry(job.id)
    await street.becomes(job, State.DONE)


async def test_a_job_that_is_cancelled_and_at_once_tried_again_was_not_interrupted_by_others(
    street,
):
    order(street, "slow", seconds=0.2, times=0)
    job = await running(street, await street.drop())
    await street.conductor.cancel(job.id)
    await street.conductor.retry(job.id)
    street.engines[0].faults.clear()
    job = await street.becomes(job, State.DONE, State.FAILED)
    kinds = [each.failure.kind if each.failure else None for each in job.stages[0].attempts]
    assert kinds == ["cancelled", None]


@pytest.mark.parametrize("by", ["delete", "clear"])
async def test_a_prompt_that_others_remove_from_the_queue_is_submitted_again(street, by):
    order(street, "no_worker")
    url = street.engines[0].url
    await send_foreign(url)
    job = await street.drop()
    prompt = (await street.until_attempt(job, 1)).prompt_id
    await street.until(lambda: street.conductor.live(job.id))
    await tell(url, "/queue", {"delete": [prompt]} if by == "delete" else {"clear": True})
    await street.until_queued(prompt)
    await street.engines[0].restart()
    job = await street.becomes(job, State.DONE)
    assert [len(stage.attempts) for stage in job.stages] == [1, 1]
    assert len(street.videos()) == 1


async def test_one_that_is_removed_again_and_again_fails_with_the_reason(street, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.stage_run.MOST_RESUBMISSIONS", 1)
    order(street, "no_worker")
    url = street.engines[0].url
    await send_foreign(url)
    job = await street.drop()
    prompt = (await street.until_attempt(job, 1)).prompt_id
    for _ in range(2):
        await street.until_queued(prompt)
        await tell(url, "/queue", {"delete": [prompt]})
    job = await street.becomes(job, State.FAILED)
    assert job.reason.key == "removed"
    assert "keeps removing it from the engine's queue" in job.reason.sentence
    assert "cancel it here" in job.reason.next_step
    assert [each.id for each in street.explained] == [job.id]


async def test_a_job_whose_prompt_others_removed_can_be_cancelled_meanwhile(street):
    order(street, "no_worker")
    url = street.engines[0].url
    await send_foreign(url)
    job = await street.drop()
    prompt = (await street.until_attempt(job, 1)).prompt_id
    await street.until_queued(prompt)
    await street.conductor.cancel(job.id)
    await asyncio.sleep(0.5)
    job = await street.ledger.get(job.id)
    assert (job.state, job.reason.key) == (State.CANCELLED, "cancelled")
    await street.until(lambda: not street.conductor.status().workers[0].in_hand)
