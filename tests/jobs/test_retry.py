"""A job that ended is tried again when a user asks for it, and its video is not made twice unasked."""

import shutil

import pytest

from zoetrope.beneath import Beneath
from zoetrope.domain.job import State
from zoetrope.errors import IllegalTransition
from zoetrope.jobs import work_note


async def test_a_declined_review_ends_the_job_and_can_be_taken_back(pipeline):
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    job = await pipeline.conductor.decline(job.id, "the eyes wander")
    assert (job.state, job.reason.key) == (State.CANCELLED, "declined")
    # Should the ledger be lost, the work knows that it is not wanted any more.
    with Beneath(pipeline.settings.work) as work:
        assert work_note.read(work, job.id).state is State.CANCELLED
        assert (await pipeline.conductor.retry(job.id)).state is State.REVIEW
        assert work_note.read(work, job.id).state is State.REVIEW
    await pipeline.conductor.approve(job.id)
    await pipeline.becomes(job, State.DONE)


async def test_a_job_whose_video_another_one_has_made_is_not_retried(pipeline):
    """Its picture was moved back from `rejected` meanwhile; both would make the same video."""
    job = await pipeline.drop(review=True, fingerprint="same")
    job = await pipeline.becomes(job, State.REVIEW)
    await pipeline.conductor.decline(job.id)
    other = await pipeline.becomes(await pipeline.drop(fingerprint="same"), State.DONE)
    with pytest.raises(IllegalTransition, match=f"job {other.short}") as raised:
        await pipeline.conductor.retry(job.id)
    assert f"zoetrope again {job.short}" in raised.value.reason.next_step
    assert (await pipeline.ledger.get(job.id)).state is State.CANCELLED
    shutil.rmtree(pipeline.root / "outbox" / other.outbox)
    assert (await pipeline.conductor.retry(job.id)).state is State.REVIEW, "that video is gone"


async def test_another_video_that_a_user_asked_for_is_no_duplicate(pipeline):
    """Neither is it the one, nor does it have the other, that `again` made of the same picture and ticket."""
    first = await pipeline.becomes(
        await pipeline.drop(review=True, fingerprint="same"), State.REVIEW
    )
    more = await pipeline.drop(review=True, fingerprint="same", parent=first.id)
    more = await pipeline.becomes(more, State.REVIEW)
    for job in (more, first):
        await pipeline.conductor.decline(job.id)
        assert (await pipeline.conductor.retry(job.id)).state is State.REVIEW
