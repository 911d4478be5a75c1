"""A ledger older than the videos in the outbox: none of them is made a second time."""

from __future__ import annotations

import json
import shutil

import pytest

from zoetrope.domain.job import State
from zoetrope.jobs.recognition import finished


async def older_ledger(street, *states, review=False):
    """Have a video made, and start again with the ledger as it was in one of some states before."""
    job = await street.drop(review=review)
    await street.becomes(job, *states)
    old = street.root / "old.db"
    await street.ledger.copy_to(old)
    if review:
        await street.becomes(job, State.REVIEW)
        await street.conductor.approve(job.id)
    done = await street.becomes(job, State.DONE)
    await street.stop()
    file = street.settings.ledger_file
    for each in file.parent.glob("ledger.db*"):
        each.unlink()
    shutil.copyfile(old, file)
    return done


@pytest.mark.parametrize(
    ("states", "review"),
    [((State.QUEUED, State.RUNNING), False), ((State.REVIEW,), True)],
    ids=["under way", "in review"],
)
async def test_a_job_whose_video_is_there_is_done_and_nothing_is_made(street, states, review):
    done = await older_ledger(street, *states, review=review)
    before = street.videos()
    await street.start()
    again = await street.becomes(done, State.DONE)
    assert again.outbox == done.outbox
    assert [stage.artefacts for stage in again.stages] == [s.artefacts for s in done.stages]
    assert [stage.verdicts for stage in again.stages] == [s.verdicts for s in done.stages]
    video = again.stages[-1].artefacts[0].sha256
    assert (await street.ledger.find_publisher(video)).id == done.id
    other = await street.drop(stem="dog", colour=7)
    await street.becomes(other, State.DONE)
    assert len(street.videos()) == len(before) + 1
    attempts = [attempt.number for stage in again.stages for attempt in stage.attempts]
    assert attempts == [1, 1]


@pytest.mark.parametrize("flaw", ["video", "other", "stages", "garbage", "link"])
async def test_what_is_no_finished_folder_of_the_job_is_not_taken_for_one(street, flaw):
    done = await older_ledger(street, State.QUEUED, State.RUNNING)
    folder = street.settings.outbox.path / done.outbox
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
            folder.rename(street.root / "elsewhere")
            folder.symlink_to(street.root / "elsewhere")
    await street.start()
    # Its work went with the publishing, so it says so, and what to do; nothing is made of nothing.
    waits = await street.waits(done, "missing")
    assert waits.state is not State.DONE


def test_a_receipt_of_other_stages_says_nothing_of_a_job():
    assert finished((), ()) is None
