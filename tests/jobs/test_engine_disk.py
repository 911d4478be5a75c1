"""A disk of the engine that takes nothing: jobs wait without a lost try, and go on by themselves."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.fakes.pipeline import Pipeline, order
from zoetrope.domain.job import State
from zoetrope.domain.values import Failure
from zoetrope.engine.protocol import QueueEntry, Stats
from zoetrope.errors import Reason
from zoetrope.jobs.engine_disk import FIRST_PAUSE, LONGEST_PAUSE, after, folder_of, may_try
from zoetrope.jobs.engine_watch import EngineWatch
from zoetrope.jobs.outages import Outages
from zoetrope.jobs.worker import WorkerStatus

FULL = Failure(
    kind="engine-disk-full",
    message="[Errno 28] No space left on device: '/srv/comfy/output/a.mp4'",
    node_type="SaveVideo",
)


def shown(pipeline: Pipeline) -> WorkerStatus:
    return pipeline.conductor.status().workers[0]


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.engine_disk.FIRST_PAUSE", 0.05)
    monkeypatch.setattr("zoetrope.jobs.engine_watch.LONGEST_RETRY", 0.1)


@pytest.mark.parametrize(
    ("kind", "says", "step"),
    [
        ("engine-disk-full", "The disk of the engine e0 is full", "df -h /srv/comfy/output"),
        ("engine-read-only", "The engine e0 cannot write", "/srv/comfy/output"),
        ("upload-failed", "The engine e0 cannot store", "input folder"),
        ("upload-lost", "The engine e0 loses what is sent to it", "input folder"),
    ],
)
def test_it_says_where_and_what_to_do(kind, says, step):
    message = FULL.message if not kind.startswith("upload") else "The engine answers 500 to a file."
    failure = Failure(kind=kind, message=message)
    found = after(None, failure, "e0", now=0.0, folder=folder_of(failure))
    assert found.reason.key == kind
    assert says in found.reason.sentence
    assert step in found.reason.next_step
    assert "by itself" in found.reason.next_step


def test_the_pauses_between_tries_grow_to_a_limit():
    found, pauses = None, []
    for _ in range(20):
        now = found.due if found else 100.0
        # What was at the engine already is no further try.
        found = after(after(found, FULL, "e0", now=now), FULL, "e0", now=now)
        pauses.append(found.due - now)
    assert pauses[0] < pauses[1] < pauses[2]
    assert pauses[-1] == LONGEST_PAUSE
    assert FIRST_PAUSE < LONGEST_PAUSE


def test_it_is_tried_at_once_where_room_is_seen_to_have_been_made():
    found = after(None, FULL, "e0", now=0.0, free=1_000_000)
    assert not may_try(found, now=0.0, free=1_000_000)
    assert not may_try(found, now=0.0, free=None)
    assert may_try(found, now=0.0, free=900_000_000)
    assert may_try(found, now=found.due, free=None)
    # Seen to be as full as it was: trying would only cost the engine's time.
    assert not may_try(found, now=found.due, free=1_000_000)
    # A quota is full while the disk has room: only a try tells.
    assert may_try(found, now=found.due, free=60_000_000 + (8 << 20))


async def test_while_its_disk_is_full_jobs_wait_and_none_fails(pipeline):
    order(pipeline, "disk_full", times=0)
    jobs = [await pipeline.drop(stem=f"cat{n}", colour=n) for n in range(2)]
    await pipeline.waits(jobs[0], "engine-disk-full")
    # Tried again and again, one job at a time, and shown as not ready all the while.
    await pipeline.until_tried(jobs[0], 4)
    status = shown(pipeline)
    assert (status.up, status.reason.key) == (False, "engine-disk-full")
    assert "e0" in status.reason.sentence
    pipeline.engines[0].faults.clear()
    done = [await pipeline.becomes(job, State.DONE, State.FAILED) for job in jobs]
    assert [job.state for job in done] == [State.DONE] * 2
    await pipeline.until(lambda: shown(pipeline).up)
    # A disk that is full for days leaves no endless list in the ledger.
    assert all(len(stage.attempts) <= 3 for job in done for stage in job.stages)
    assert len(pipeline.videos()) == 2


async def test_a_job_that_failed_before_is_not_given_up_for_it(pipeline):
    order(pipeline, "black")
    order(pipeline, "disk_full", call=2, times=3)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE, State.FAILED)
    assert job.state is State.DONE, job.reason


async def test_it_outlasts_a_restart_of_the_service_and_a_retry_waits_as_well(pipeline):
    order(pipeline, "disk_full", times=0)
    job = await pipeline.drop()
    await pipeline.waits(job, "engine-disk-full")
    await pipeline.stop()
    await pipeline.start()
    await pipeline.until(lambda: not shown(pipeline).up and shown(pipeline).reason.key == FULL.kind)
    pipeline.engines[0].faults.clear()
    assert (await pipeline.becomes(job, State.DONE, State.FAILED)).state is State.DONE


async def test_another_engine_takes_over_at_once(tmp_path: Path):
    pipeline = Pipeline(tmp_path, engines=2)
    await pipeline.start()
    order(pipeline, "disk_full", times=0)
    jobs = [await pipeline.drop(stem=f"cat{n}", colour=n) for n in range(2)]
    done = [await pipeline.becomes(job, State.DONE, State.FAILED) for job in jobs]
    assert [job.state for job in done] == [State.DONE] * 2
    await pipeline.close()


async def test_an_upload_that_the_engine_cannot_store_waits_too(garbled):
    """ComfyUI answers a bare 500 where its input folder cannot be written, whatever the reason."""
    pipeline = garbled.pipeline
    garbled.answers("/upload/image", b"500 Internal Server Error", status=500, times=None)
    job = await pipeline.drop()
    await pipeline.waits(job, "upload-failed")
    await pipeline.until(lambda: garbled.given.count("/upload/image") > 6)
    garbled.is_well()
    assert (await pipeline.becomes(job, State.DONE, State.FAILED)).state is State.DONE


@pytest.mark.parametrize("call", [1, 2])
async def test_what_the_engine_lost_before_it_looked_is_sent_again(pipeline, call):
    """Another program empties its input folder between an upload and the submission: no picture pays for that."""
    order(pipeline, "emptied", call=call, times=2)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE, State.FAILED, State.REJECTED)
    assert job.state is State.DONE, job.reason
    assert [len(stage.attempts) for stage in job.stages] == [1, 1]


async def test_an_engine_that_loses_every_upload_is_waited_for(pipeline):
    order(pipeline, "emptied", times=0)
    job = await pipeline.drop()
    await pipeline.waits(job, "upload-lost")
    await pipeline.until_tried(job, 2)
    status = shown(pipeline)
    assert (status.up, status.reason.key) == (False, "upload-lost")
    pipeline.engines[0].faults.clear()
    done = await pipeline.becomes(job, State.DONE, State.FAILED, State.REJECTED)
    assert done.state is State.DONE, done.reason


class Answering:
    """An engine elsewhere that answers; it can be asked what a watch asks, and nothing else."""

    name, url, here, home, can_restart, reconnects = "e0", "http://gpu:8188", False, None, False, 0

    async def stats(self) -> Stats:
        return Stats(version="0.27.1")

    async def queue(self) -> tuple[QueueEntry, ...]:
        return ()


class Watched:
    """A watch over such an engine, and the clocks that it looks at."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.outages = Outages()
        self.watch = EngineWatch(
            Answering(),
            lambda: self.now,
            stuck_seconds=600.0,
            followed=lambda: ["prompt"],
            outages=self.outages,
            monotonic=lambda: self.now,
        )

    async def until_up(self) -> None:
        """Let the watch look until the engine counts as up."""
        async with asyncio.timeout(60):
            looking = asyncio.create_task(self.watch.run())
            await self.watch.wait_up()
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


@pytest.fixture
async def watched() -> Watched:
    """The watch over an engine that is up."""
    watched = Watched()
    await watched.until_up()
    return watched


async def test_a_stage_that_was_made_before_shows_nothing_of_a_disk_that_is_full(watched, caplog):
    """It was fetched and checked while the next one found the disk full."""
    caplog.set_level("INFO", logger="zoetrope.jobs")
    watched.now = 2000.0
    await watched.watch.blocked(FULL)
    caplog.clear()
    watched.now = 2001.0
    watched.watch.proved()
    assert (watched.watch.up, watched.watch.ready) == (False, False)
    assert watched.watch.disk is not None
    assert watched.watch.since == 2000.0
    assert watched.outages.began("e0 http://gpu:8188", 2001.0) == 2000.0
    assert caplog.messages == []


async def test_the_stage_that_tries_shows_that_the_disk_takes_something_again(watched, caplog):
    caplog.set_level("INFO", logger="zoetrope.jobs")
    await watched.watch.blocked(FULL)
    watched.now = 2000.0
    await watched.until_up()
    assert (watched.watch.up, watched.watch.ready) == (True, False)
    caplog.clear()
    watched.watch.proved()
    assert watched.watch.ready
    assert watched.watch.since == 2000.0
    assert [record.action for record in caplog.records] == ["engine-up"]


async def test_an_engine_that_does_not_answer_yet_has_one_line_in_the_log(caplog):
    """Else the journal of a host whose engine never comes says nothing of why its jobs wait."""
    caplog.set_level("INFO", logger="zoetrope.jobs")
    watch = Watched().watch
    for _ in range(3):
        watch.lost(Reason("engine-down", "e0 does not answer.", "Wait."))
    assert [(each.action, each.getMessage()) for each in caplog.records] == [
        ("engine-awaited", "e0 does not answer. Wait.")
    ]


async def test_a_stage_that_tried_shows_nothing_while_the_engine_does_not_answer(watched):
    await watched.watch.blocked(FULL)
    watched.now = 2000.0
    await watched.until_up()
    watched.watch.lost(Reason("engine-down", "e0 does not answer."))
    watched.watch.proved()
    assert watched.watch.disk is not None
    assert (watched.watch.up, watched.watch.ready) == (False, False)
    await watched.until_up()
    watched.watch.proved()
    assert watched.watch.ready
