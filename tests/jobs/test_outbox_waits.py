"""What a person sees while one job, or every job, cannot reach the outbox: on page, status, job and health."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from tests.fakes.pipeline import Pipeline
from zoetrope.beneath import Beneath
from zoetrope.cli.jobs import details
from zoetrope.domain.job import Job, State
from zoetrope.health.checks.outbox import OutboxCheck
from zoetrope.health.checks.queue import QueueCheck
from zoetrope.runtime import Runtime
from zoetrope.summary import sentence
from zoetrope.web.views import view


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    for name in ("publisher.FIRST_PAUSE", "publisher.LONGEST_PAUSE", "outbox_watch.LOOK_SECONDS"):
        monkeypatch.setattr(f"zoetrope.jobs.{name}", 0.05)


async def seen(pipeline: Pipeline, job: Job) -> dict[str, str]:
    """Give what each place says of a job that waits."""
    runtime = Runtime(pipeline.settings)
    runtime.ledger, runtime.conductor = pipeline.ledger, pipeline.conductor
    shown = view(await pipeline.ledger.get(job.id), pipeline.settings.outbox.path)
    queue = await QueueCheck(runtime).look()
    assert shown.reason is not None
    return {
        "page": str(shown.reason),
        "job": "\n".join(details(shown)),
        "status": await sentence(runtime),
        "health": f"{queue.level}: {queue.found} {queue.next_step}",
    }


class Trouble(ABC):
    """Something in the way of the outbox, until it is over."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.patch = monkeypatch
        self.whole = False  # it concerns every job

    @abstractmethod
    def begin(self, job: Job) -> None:
        """Put it in the way."""

    def end(self) -> None:
        self.patch.undo()


class ReadOnly(Trouble):
    """The outbox is mounted read-only."""

    key = "unwritable"

    def begin(self, job: Job) -> None:
        self.whole = True
        real = os.mkdir

        def mkdir(path, *args, **at):
            if "dir_fd" in at and str(path).endswith(".part"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
            return real(path, *args, **at)

        self.patch.setattr(os, "mkdir", mkdir)
        self.patch.setattr(Beneath, "changeable", lambda *_: False)


class Crowded(Trouble):
    """Somebody's files have every name that the job's folder could have."""

    key = "outbox-crowded"

    def begin(self, job: Job) -> None:
        names = (job.short, job.id, *(f"{job.id}-{number}" for number in range(2, 6)))
        self.files = [self.root / f"cat-{name}" for name in names]
        for file in self.files:
            file.write_text("mine")

    def end(self) -> None:
        assert all(file.read_text() == "mine" for file in self.files)
        self.files[0].unlink()


class Broken(Trouble):
    """The share reports an error for this job alone."""

    key = "disk-error"

    def begin(self, job: Job) -> None:
        real = os.rename

        def rename(path, to, **at):
            if job.short in str(to) and "work" not in str(to):
                raise OSError(errno.EIO, os.strerror(errno.EIO), path, None, to)
            return real(path, to, **at)

        self.patch.setattr(os, "rename", rename)


@pytest.mark.parametrize("kind", [ReadOnly, Crowded, Broken])
async def test_a_job_that_cannot_be_published_says_so_everywhere_and_goes_on_by_itself(
    pipeline: Pipeline, monkeypatch, kind
):
    job = await pipeline.drop()
    with monkeypatch.context() as patch:
        trouble = kind(pipeline.settings.outbox.path, patch)
        trouble.begin(job)
        waits = await pipeline.waits(job, kind.key)
        assert waits.state is State.RUNNING
        assert waits.stage is None
        await pipeline.until(lambda: job.id in pipeline.conductor.status().waiting)
        places = await seen(pipeline, job)
        for place, text in places.items():
            assert waits.reason.sentence.rstrip(".") in text, place
        for place in ("page", "job", "health"):
            assert waits.reason.next_step in places[place], place
        assert places["health"].startswith("degraded")
        # Others go on, unless it is the whole outbox.
        other = await pipeline.drop(stem="dog", colour=9)
        if trouble.whole:
            await pipeline.waits(other, kind.key)
            await pipeline.until(lambda: pipeline.conductor.status().outbox is not None)
            runtime = Runtime(pipeline.settings)
            runtime.conductor = pipeline.conductor
            assert (await OutboxCheck(runtime).look()).level == "failing"
        else:
            await pipeline.becomes(other, State.DONE)
            assert pipeline.conductor.status().outbox is None
        trouble.end()
    done = await pipeline.becomes(job, State.DONE)
    assert done.reason is None
    await pipeline.until(lambda: not pipeline.conductor.status().waiting)
    await pipeline.until(lambda: pipeline.conductor.status().outbox is None)
    await pipeline.becomes(other, State.DONE)
    assert len(pipeline.videos()) == 2


async def test_a_hidden_folder_of_somebody_else_is_left_alone_and_keeps_nobody(
    pipeline: Pipeline, monkeypatch
):
    job = await pipeline.drop()
    hidden = pipeline.settings.outbox.path / f".{job.id}.part"
    hidden.mkdir()
    (hidden / "mine").write_text("mine")
    real = Beneath.stat

    def stat(self, path):
        found = real(self, path)
        if path == hidden.name:
            # As if another user had made it.
            return os.stat_result((*found[:4], 54321, *found[5:10]))
        return found

    monkeypatch.setattr(Beneath, "stat", stat)
    done = await pipeline.becomes(job, State.DONE)
    assert done.outbox == f"cat-{job.short}"
    assert (hidden / "mine").read_text() == "mine"
    assert [path.name for path in pipeline.settings.outbox.path.glob(".*.part")] == [hidden.name]
