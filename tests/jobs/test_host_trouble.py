"""Trouble of the host's under whole jobs: each waits, says why, and goes on when it is over; no other is kept."""

import errno
import json
import logging
import os
import shutil
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.fakes.pipeline import RECIPES, Pipeline, hold, order
from zoetrope.domain.job import Job, State
from zoetrope.errors import DiskFull, LedgerError
from zoetrope.jobs.outbox import Outbox


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Tries follow each other closely; how often and how loudly is what the tests look at."""
    for name in ("publisher.FIRST_PAUSE", "publisher.LONGEST_PAUSE"):
        monkeypatch.setattr(f"zoetrope.jobs.{name}", 0.05)
    monkeypatch.setattr("zoetrope.jobs.room.DISK_SECONDS", 0.05)
    # Longer than a write of the ledger on a slow disk: a job that is due again at once lets no other go first.
    for name in ("settlement.HOST_SECONDS", "settlement.LONGEST_WAIT"):
        monkeypatch.setattr(f"zoetrope.jobs.{name}", 0.25)
    monkeypatch.setattr("zoetrope.store.retry.RETRY_SECONDS", 0.05)


@pytest.fixture
async def own(tmp_path):
    """A pipeline whose recipes may be edited."""
    for name in ("tiny", "other"):
        shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / name)
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    yield pipeline
    await pipeline.close()


def loud(caplog) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.levelno >= logging.ERROR]


def close_outbox(pipeline: Pipeline) -> None:
    """Put a file where the outbox was: nobody can write there, not even root."""
    pipeline.settings.outbox.path.rename(pipeline.root / "away")
    pipeline.settings.outbox.path.write_text("not a folder")


def open_outbox(pipeline: Pipeline) -> None:
    pipeline.settings.outbox.path.unlink()
    (pipeline.root / "away").rename(pipeline.settings.outbox.path)


async def test_a_closed_outbox_keeps_finished_videos_waiting_and_no_engine(pipeline, caplog):
    close_outbox(pipeline)
    jobs = [await pipeline.waits(await pipeline.drop(stem=f"c{n}"), "in-the-way") for n in range(3)]
    for job in jobs:
        assert job.state is State.RUNNING
        assert job.stage is None
        assert "outbox" in job.reason.sentence
        assert "goes on by itself" in job.reason.next_step
    assert set(pipeline.conductor.status().waiting) == {job.id for job in jobs}
    told = loud(caplog)  # before it is opened: while it is put back there is none for a moment
    open_outbox(pipeline)
    for job in jobs:
        done = await pipeline.becomes(job, State.DONE)
        assert done.reason is None
        assert (pipeline.settings.outbox.path / done.outbox / "receipt.json").exists()
    await pipeline.until(lambda: not pipeline.conductor.status().waiting)
    assert len(told) == 3, "each job says it once, however often it is tried"
    assert not any(record.exc_info for record in told)


async def test_retrying_what_cannot_be_published_is_no_dead_end(pipeline, monkeypatch):
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    broken = RuntimeError("surprise")

    def publish(*_):
        raise broken

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "publish", publish)
        await pipeline.conductor.approve(job.id)
        job = await pipeline.waits(job, "internal")
        assert job.state is State.RUNNING, "the video is made and not thrown away"
    done = await pipeline.becomes(job, State.DONE)
    assert done.reason is None


async def test_a_review_that_cannot_be_shown_on_the_share_is_asked_for_on_the_page(pipeline):
    close_outbox(pipeline)
    job = await pipeline.waits(await pipeline.drop(review=True), "in-the-way")
    job = await pipeline.becomes(job, State.REVIEW)
    assert "outbox" in job.reason.sentence
    open_outbox(pipeline)
    shown = pipeline.settings.outbox.path / "review" / f"cat-{job.short}"
    await pipeline.until(shown.exists)
    await pipeline.until(lambda: not pipeline.conductor.status().waiting)
    assert (await pipeline.ledger.get(job.id)).reason is None
    await pipeline.conductor.approve(job.id)
    assert not shown.exists()
    await pipeline.becomes(job, State.DONE)


async def test_a_link_in_the_outbox_keeps_a_review_and_a_video_waiting_until_it_is_gone(pipeline):
    elsewhere = pipeline.root / "elsewhere"
    elsewhere.mkdir()
    (pipeline.settings.outbox.path / "review").symlink_to(elsewhere)
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    job = await pipeline.waits(job, "link-inside")
    assert "never followed" in job.reason.sentence
    assert not list(elsewhere.iterdir())
    (pipeline.settings.outbox.path / "review").unlink()
    shown = pipeline.settings.outbox.path / "review" / f"cat-{job.short}"
    await pipeline.until(shown.exists)
    await pipeline.conductor.approve(job.id)
    await pipeline.becomes(job, State.DONE)


async def test_a_review_is_answered_although_its_folder_cannot_be_cleared(pipeline, monkeypatch):
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    closed = True
    clear = Outbox.clear_review

    def clear_review(self, of, work):
        if closed:
            raise OSError(errno.EROFS, "Read-only file system", str(pipeline.settings.outbox.path))
        return clear(self, of, work)

    monkeypatch.setattr(Outbox, "clear_review", clear_review)
    assert (await pipeline.conductor.decline(job.id)).state is State.CANCELLED
    assert pipeline.conductor.status().waiting[job.id].key == "unwritable"
    closed = False
    shown = pipeline.settings.outbox.path / "review" / f"cat-{job.short}"
    await pipeline.until(lambda: not shown.exists())
    assert (await pipeline.ledger.get(job.id)).reason.key == "declined", "its own reason stays"


async def _unpublished(pipeline: Pipeline, monkeypatch, stem: str):
    """Leave a job whose stages are all made and whose folder is not in the outbox."""

    def publish(*_):
        raise OSError(errno.EIO, "Input/output error", str(pipeline.settings.outbox.path))

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "publish", publish)
        job = await pipeline.waits(await pipeline.drop(stem=stem), "disk-error")
        await pipeline.stop()
    return job


async def test_a_start_with_a_closed_outbox_takes_up_everything_else(pipeline, monkeypatch):
    reviewed = await pipeline.becomes(await pipeline.drop(stem="seen", review=True), State.REVIEW)
    made = await _unpublished(pipeline, monkeypatch, "made")
    shutil.rmtree(pipeline.settings.outbox.path / "review")
    close_outbox(pipeline)
    await pipeline.start()
    await pipeline.until(lambda: len(pipeline.conductor.status().waiting) == 2)
    fresh = await pipeline.drop(stem="fresh")
    await pipeline.until(lambda: fresh.id in pipeline.conductor.status().waiting)
    assert (await pipeline.ledger.get(fresh.id)).stage is None, "its stages were run all the same"
    open_outbox(pipeline)
    for job in (made, fresh):
        assert (await pipeline.becomes(job, State.DONE)).reason is None
    shown = pipeline.settings.outbox.path / "review" / f"seen-{reviewed.short}"
    await pipeline.until(shown.exists)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EROFS, "Read-only file system"),
        OSError(errno.ESTALE, "Stale file handle"),
        DiskFull("The disk of the ledger is full."),
        LedgerError("The ledger cannot be used: locked."),
    ],
    ids=lambda e: type(e).__name__ if not isinstance(e, OSError) else errno.errorcode[e.errno],
)
async def test_a_start_while_the_host_is_in_trouble_only_waits(
    pipeline, monkeypatch, caplog, error
):
    made = await _unpublished(pipeline, monkeypatch, "made")
    whole = Outbox.publish
    bad = True

    def publish(self, *args):
        if bad:
            raise error
        return whole(self, *args)

    monkeypatch.setattr(Outbox, "publish", publish)
    caplog.clear()
    await pipeline.start()
    await pipeline.until(lambda: made.id in pipeline.conductor.status().waiting)
    other = await pipeline.drop(stem="other")
    await pipeline.until(lambda: other.id in pipeline.conductor.status().waiting)
    bad = False
    for job in (made, other):
        await pipeline.becomes(job, State.DONE)
    assert len(loud(caplog)) == 2
    assert not any(record.exc_info for record in loud(caplog))


async def test_a_job_whose_work_file_is_missing_at_the_start_waits_for_it_alone(
    pipeline, monkeypatch
):
    made = await _unpublished(pipeline, monkeypatch, "made")
    clip = pipeline.settings.work / made.id / made.stages[-1].artefacts[0].file
    clip.rename(pipeline.root / "kept")
    await pipeline.start()
    made = await pipeline.waits(made, "missing")
    assert clip.name in made.reason.sentence
    await pipeline.becomes(await pipeline.drop(stem="other"), State.DONE)
    (pipeline.root / "kept").rename(clip)
    await pipeline.becomes(made, State.DONE)
    assert f"made-{made.short}/made.mp4" in pipeline.videos()


async def lost(pipeline: Pipeline) -> tuple[Job, Path]:
    """Take a job's picture away before it is sent, and give the job as it waits, with the picture's place."""
    order(pipeline, "slow", seconds=0.2, times=1)
    await pipeline.drop(stem="first")
    job = await pipeline.drop(stem="lost")
    picture = pipeline.settings.work / job.id / "cat.png"
    picture.rename(pipeline.root / "kept.png")
    return await pipeline.waits(job, "missing"), picture


async def test_a_picture_that_is_missing_before_it_was_sent_lets_others_go_first(pipeline):
    held, picture = await lost(pipeline)
    assert (held.state, held.attempt) == (State.QUEUED, None)
    await pipeline.becomes(await pipeline.drop(stem="later"), State.DONE)
    assert (await pipeline.ledger.get(held.id)).state is State.QUEUED
    (pipeline.root / "kept.png").rename(picture)
    job = await pipeline.becomes(held, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_picture_that_stays_missing_is_logged_once_and_the_way_out_can_be_gone(
    pipeline, caplog
):
    caplog.set_level("INFO")
    job, picture = await lost(pipeline)
    assert job.reason.next_step.endswith(
        f"zoetrope cancel {job.short}) and drop the picture again."
    )
    tries = 0

    def see(_, changed):
        nonlocal tries
        tries += changed.id == job.id and changed.reason is not None

    pipeline.ledger.on_change(see)
    await pipeline.until(lambda: tries > 3)

    def actions(*wanted: str) -> list[str]:
        said = [r for r in caplog.records if getattr(r, "job", "") == job.short]
        return [r.action for r in said if r.action in wanted]

    assert actions("missing", "goes-on") == ["missing"]
    (pipeline.root / "kept.png").rename(picture)
    await pipeline.becomes(job, State.DONE)
    assert actions("missing", "goes-on") == ["missing", "goes-on"]


async def older(pipeline: Pipeline, job) -> None:
    """Make a job one of an older zoetrope, which kept no version of its recipe."""
    bare = partial(msgspec.structs.replace, recipe_version="", plan=None)
    await pipeline.ledger.change(job.id, bare)


async def test_a_recipe_that_was_renamed_keeps_older_jobs_waiting_and_no_other(own, monkeypatch):
    made = await _unpublished(own, monkeypatch, "made")
    (own.recipes / "tiny").rename(own.recipes / "gone")
    await own.start()
    await own.becomes(made, State.DONE)
    old = await own.waits(await own.drop(stem="old"), "recipe-unknown")
    assert old.recipe_version == ""
    assert "'tiny'" in old.reason.sentence
    assert "Put the recipe's folder back" in old.reason.next_step
    await own.becomes(await own.drop(stem="else", recipe="other"), State.DONE)
    (own.recipes / "gone").rename(own.recipes / "tiny")
    assert (await own.becomes(old, State.DONE)).reason is None


async def test_a_recipe_that_is_broken_while_an_older_video_is_published_is_told_once(own, caplog):
    job = await own.becomes(await own.drop(review=True), State.REVIEW)
    hold(own)
    await own.conductor.approve(job.id)
    await own.becomes(job, State.RUNNING)
    await older(own, job)
    file = own.recipes / "tiny" / "recipe.toml"
    sound = file.read_text()
    file.write_text("title = 3")
    own.engines[0].faults.clear()
    job = await own.waits(job, "recipe")
    tries = own.ledger.writes
    await own.until(lambda: own.conductor.status().waiting)
    assert own.ledger.writes == tries, "waiting writes nothing"
    file.write_text(sound)
    assert (await own.becomes(job, State.DONE)).reason is None
    assert len(loud(caplog)) == 1
    assert not any(record.exc_info for record in loud(caplog))


async def test_an_edited_recipe_concerns_later_jobs_alone(own):
    job = await own.becomes(await own.drop(review=True, seed=5), State.REVIEW)
    file = own.recipes / "tiny" / "recipe.toml"
    file.write_text(file.read_text().replace("pixels = 4096", "pixels = 16384"))
    await own.conductor.approve(job.id)
    job = await own.becomes(job, State.DONE)
    later = await own.becomes(await own.drop(stem="later", colour=7), State.DONE)
    for made, width in ((job, 64), (later, 128)):
        paper = json.loads((own.root / "outbox" / made.outbox / "receipt.json").read_text())
        assert paper["plan"]["width"] == width
        assert paper["stages"][0]["verdicts"][0]["measured"]["width"] == width
    assert job.recipe_version != later.recipe_version


async def test_a_job_of_an_older_zoetrope_whose_recipe_was_edited_since_tells_no_plan(own):
    """Until it had been accepted, no version of its recipe was kept."""
    job = await own.becomes(await own.drop(review=True, seed=5), State.REVIEW)
    await older(own, job)
    file = own.recipes / "tiny" / "recipe.toml"
    file.write_text(file.read_text().replace("pixels = 4096", "pixels = 16384"))
    await own.conductor.approve(job.id)
    job = await own.becomes(job, State.DONE)
    paper = json.loads((own.root / "outbox" / job.outbox / "receipt.json").read_text())
    assert paper["plan"] is None
    assert paper["seed"] == 5
    assert any("tiny gives another graph now" in note and "i2v" in note for note in paper["notes"])
    measured = paper["stages"][0]["verdicts"][0]["measured"]
    assert (measured["width"], measured["frames"]) == (64, 5), "what was measured stands"


async def test_a_recipe_may_go_away_for_good_once_a_job_was_accepted_with_it(own):
    job = await own.becomes(await own.drop(review=True), State.REVIEW)
    shutil.rmtree(own.recipes / "tiny")
    await own.stop()
    await own.start()
    await own.conductor.approve(job.id)
    await own.becomes(job, State.DONE)


async def test_a_ledger_that_cannot_answer_now_does_not_end_the_feeding_of_an_engine(
    pipeline, monkeypatch
):
    monkeypatch.setattr("zoetrope.jobs.worker.LONGEST_RETRY", 0.05)
    whole, left = pipeline.ledger.waiting, [1, 2, 3]

    async def waiting(*args, **more):
        if left:
            left.pop()
            raise LedgerError("The ledger cannot be used: disk I/O error.")
        return await whole(*args, **more)

    monkeypatch.setattr(pipeline.ledger, "waiting", waiting)
    await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert not left


async def test_what_keeps_a_queued_job_is_logged_once_however_often_it_is_tried(own, caplog):
    (own.recipes / "tiny" / "recipe.toml").rename(own.recipes / "aside")
    jobs = [await own.drop(stem=f"c{n}") for n in range(2)]
    for job in jobs:
        await own.waits(job, "recipe-unknown")
    before = own.ledger.writes
    await own.until(lambda: own.ledger.writes > before + 4)  # it was tried again, and again
    assert len(loud(caplog)) == 2
    (own.recipes / "aside").rename(own.recipes / "tiny" / "recipe.toml")
    for job in jobs:
        await own.becomes(job, State.DONE)
    assert not own.conductor.status().waiting


async def test_a_waiting_job_that_is_cancelled_is_nothing_to_tell_any_more(own):
    (own.recipes / "tiny" / "recipe.toml").rename(own.recipes / "aside")
    job = await own.waits(await own.drop(), "recipe-unknown")
    assert job.id in own.conductor.status().waiting
    await own.conductor.cancel(job.id)
    assert not own.conductor.status().waiting


async def test_files_that_ran_out_fail_nobody(pipeline, monkeypatch):
    whole, left = pipeline.clients[0].fetch, [1, 2, 3]

    async def fetch(output, to, most):
        if left:
            left.pop()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(to))
        return await whole(output, to, most)

    monkeypatch.setattr(pipeline.clients[0], "fetch", fetch)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]
