"""A ledger older than the videos in the outbox: none of them is made a second time."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.fakes.pipeline import hold
from zoetrope.domain.job import State
from zoetrope.jobs.recognition import finished


async def older_ledger(pipeline, state):
    """Have a video made, and start again with the ledger of when its job was held in a state before."""
    match state:
        case State.QUEUED:
            await pipeline.conductor.pause()
        case State.RUNNING:
            hold(pipeline)
    job = await pipeline.becomes(await pipeline.drop(review=state is State.REVIEW), state)
    old = pipeline.root / "old.db"
    await pipeline.ledger.copy_to(old)
    match state:
        case State.QUEUED:
            await pipeline.conductor.resume()
        case State.RUNNING:
            pipeline.engines[0].faults.clear()
        case State.REVIEW:
            await pipeline.conductor.approve(job.id)
    done = await pipeline.becomes(job, State.DONE)
    # It goes a moment after its end is written down; with it the job could be ended a second time.
    await pipeline.until(lambda: not (pipeline.settings.work / job.id).exists())
    await pipeline.stop()
    file = pipeline.settings.ledger_file
    for each in file.parent.glob("ledger.db*"):
        each.unlink()
    shutil.copyfile(old, file)
    return done


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.REVIEW])
async def test_a_job_whose_video_is_there_is_done_and_nothing_is_made(pipeline, state):
    done = await older_ledger(pipeline, state)
    before = pipeline.videos()
    await pipeline.start()
    again = await pipeline.becomes(done, State.DONE)
    assert again.outbox == done.outbox
    assert [stage.artefacts for stage in again.stages] == [s.artefacts for s in done.stages]
    assert [stage.verdicts for stage in again.stages] == [s.verdicts for s in done.stages]
    video = again.stages[-1].artefacts[0].sha256
    assert (await pipeline.ledger.find_publisher(video)).id == done.id
    other = await pipeline.drop(stem="dog", colour=7)
    await pipeline.becomes(other, State.DONE)
    assert len(pipeline.videos()) == len(before) + 1
    attempts = [attempt.number for stage in again.stages for attempt in stage.attempts]
    assert attempts == [1, 1]


@pytest.mark.parametrize("flaw", ["video", "other", "stages", "garbage", "link"])
async def test_what_is_no_finished_folder_of_the_job_is_not_taken_for_one(pipeline, flaw):
    done = await older_ledger(pipeline, State.RUNNING)
    folder = pipeline.settings.outbox.path / done.outbox
    receipt = folder / "receipt.json"
    told = json.loads(receipt.read_text())
    match flaw:
        case "video":
            (folder / "cat.mp4").unlink()
        case "other":
            receipt.write_text(json.dumps(told | {"job": "ab" * 16}))
        case "stages":
            receipt.write_text(json.dumps(told | {"stages": told["stages"][:1]}))
        case "garbage":
            receipt.write_text("[" * 10_000)
        case "link":
            folder.rename(pipeline.root / "elsewhere")
            folder.symlink_to(pipeline.root / "elsewhere")
    await pipeline.start()
    # Its work went with the publishing, so it says so, and what to do; nothing is made of nothing.
    waits = await pipeline.waits(done, "missing")
    assert waits.state is not State.DONE


async def test_who_can_write_into_the_outbox_can_make_a_job_under_way_count_as_done(pipeline):
    """What docs/security.md says of members of the share; whoever ends this may take the sentence away."""
    model = await pipeline.becomes(await pipeline.drop(), State.DONE)
    await pipeline.conductor.pause()
    job = await pipeline.becomes(await pipeline.drop(stem="dog", colour=7), State.QUEUED)
    await pipeline.stop()
    outbox = pipeline.settings.outbox.path
    forged = outbox / f"forged-{job.id[:8]}"
    shutil.copytree(outbox / model.outbox, forged)
    (forged / "cat.mp4").rename(forged / "dog.mp4")
    receipt = forged / "receipt.json"
    receipt.write_text(json.dumps(json.loads(receipt.read_text()) | {"job": job.id}))
    await pipeline.start()
    done = await pipeline.becomes(job, State.DONE)
    assert done.outbox == forged.name
    made = [stage.artefacts for stage in done.stages]
    assert made == [stage.artefacts for stage in model.stages], "none of its own was made"


def test_a_receipt_of_other_stages_says_nothing_of_a_job():
    assert finished((), ()) is None
