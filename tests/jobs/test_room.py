"""One place judges how much of a disk is free; queue, inbox and health say the same of it."""

import errno
import os
from types import SimpleNamespace

import msgspec
import pytest

from zoetrope.domain.job import State
from zoetrope.errors import DiskFull
from zoetrope.health.checks.disk import DiskCheck
from zoetrope.inbox.trouble import find_room
from zoetrope.jobs import keep_book as books
from zoetrope.jobs import room
from zoetrope.jobs.keep import DAY, Count, KeepBook, KeptKind
from zoetrope.jobs.room import Room
from zoetrope.settings import InboxSettings, OutboxSettings, Settings, StateSettings

FLOOR = 2_048_000_000


@pytest.fixture
def settings(tmp_path):
    found = Settings(
        inbox=InboxSettings(path=tmp_path / "inbox"),
        outbox=OutboxSettings(path=tmp_path / "outbox"),
        state=StateSettings(path=tmp_path / "state"),
    )
    for path in (found.inbox.path, found.outbox.path, found.work):
        path.mkdir(parents=True)
    return found


def with_free(monkeypatch, number):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=number, f_frsize=1))


async def queue_says(settings, monkeypatch):
    """Let the queue's own look happen once."""

    class Once(Exception):
        pass

    async def stop(_):
        raise Once

    watcher = Room(settings, lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(room.asyncio, "sleep", stop)
        with pytest.raises(Once):
            await watcher.run()
    return watcher.short


def inbox_says(settings):
    try:
        find_room(settings)
    except DiskFull as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("free", "short"), [(FLOOR - 1, True), (FLOOR, False), (FLOOR + 1, False), (0, True)]
)
async def test_the_three_say_the_same_at_the_boundary(settings, monkeypatch, free, short):
    with_free(monkeypatch, free)
    queue, inbox = await queue_says(settings, monkeypatch), inbox_says(settings)
    health = await DiskCheck(lambda: settings).look()
    assert (queue is not None, inbox is not None, health.level == "failing") == (short,) * 3
    if short:
        assert queue == inbox
        assert (health.found, health.next_step) == (queue.sentence, queue.next_step)
        assert "state.min_free_megabytes" in queue.sentence
        assert "so nothing new is started" in queue.sentence


async def test_a_disk_of_its_own_for_work_is_judged_as_well(settings, monkeypatch):
    def statvfs(path):
        return SimpleNamespace(f_bavail=1 if path == settings.work else 10**12, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", statvfs)
    queue, inbox = await queue_says(settings, monkeypatch), inbox_says(settings)
    health = await DiskCheck(lambda: settings).look()
    assert queue == inbox
    assert str(settings.work) in queue.sentence
    assert (health.level, health.found) == ("failing", queue.sentence)


async def test_without_a_floor_nothing_is_short(settings, monkeypatch):
    settings = msgspec.structs.replace(
        settings, state=StateSettings(path=settings.state.path, min_free_megabytes=0)
    )
    with_free(monkeypatch, 0)
    assert await queue_says(settings, monkeypatch) is None
    assert inbox_says(settings) is None


async def test_a_short_disk_says_how_much_is_kept_there_and_which_setting_to_lower(
    settings, monkeypatch
):
    things = {KeptKind.WORK: {"ab" * 16: Count("1", 3 * DAY, 31_200_000_000)}}
    books.save(settings.keep_book, KeepBook(wall=1_800_000_000.0, things=things))
    with_free(monkeypatch, FLOOR - 1)
    for reason in (await queue_says(settings, monkeypatch), inbox_says(settings)):
        assert (
            "or lower keep.work_days (14) or keep.work_gigabytes (50) and reload:"
            " it keeps the work of 1 ended job (31.2 GB) there" in reason.next_step
        )


async def test_health_says_what_is_kept_and_what_goes_next(settings, monkeypatch):
    things = {KeptKind.WORK: {"ab" * 16: Count("1", 3 * DAY, 31_200_000_000)}}
    books.save(settings.keep_book, KeepBook(wall=1_800_000_000.0, things=things))
    with_free(monkeypatch, 10**12)
    verdict = await DiskCheck(lambda: settings).look()
    assert verdict.level == "ok"
    assert "kept for a time: the work of 1 ended job (31.2 GB)" in verdict.found
    assert "the work of job abababab will be removed on 2027-01-2" in verdict.found


async def test_a_full_disk_pauses_the_queue_and_fails_nobody(pipeline, monkeypatch):
    whole = pipeline.clients[0].fetch
    full = True

    async def fetch(output, to, most):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await whole(output, to, most)

    monkeypatch.setattr(pipeline.clients[0], "fetch", fetch)
    monkeypatch.setattr("zoetrope.jobs.room.DISK_SECONDS", 0.05)
    job = await pipeline.drop()
    await pipeline.until(lambda: pipeline.conductor.status().paused)
    assert pipeline.conductor.status().paused.key == "disk-full"
    full = False
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]
