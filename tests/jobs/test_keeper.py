"""Retention at work: what its time is over for goes whole, and nothing else is touched."""

from __future__ import annotations

import asyncio
import tracemalloc

import msgspec
import pytest

from tests.fakes.keeping import NOW
from tests.fakes.source_image import plain_image
from tests.web.fakes import make_job
from zoetrope.domain import steps
from zoetrope.domain.job import State
from zoetrope.errors import IllegalTransition
from zoetrope.jobs import keep_book as books
from zoetrope.jobs import keeper as keepers
from zoetrope.jobs.keep import DAY, HOUR, KeepBook, KeptKind
from zoetrope.jobs.keeper import Keeper
from zoetrope.jobs.owed import owe
from zoetrope.settings import KeepSettings

ENDED = (State.FAILED, State.CANCELLED, State.REJECTED)
GOES_ON = (State.WAITING, State.QUEUED, State.RUNNING, State.REVIEW)


@pytest.mark.parametrize("state", ENDED)
async def test_work_of_an_ended_job_goes_after_its_days_and_the_row_stays(host, state):
    job = await host.job(state)
    await host.keeper.sweep()
    await host.passes(13.9 * DAY)
    assert host.there(job)
    await host.passes(0.2 * DAY)
    assert not host.there(job)
    after = await host.ledger.get(job.id)
    assert after.state is state
    assert (after.removed, after.updated) == (host.wall, job.updated)


@pytest.mark.parametrize("state", GOES_ON)
async def test_a_job_that_goes_on_keeps_its_work_for_ever(host, state):
    job = await host.job(state)
    for _ in range(3):
        await host.passes(100 * DAY)
    assert host.there(job)
    assert (await host.ledger.get(job.id)).removed == 0


async def test_a_retry_after_that_says_on_which_day_its_work_went(host):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()
    await host.passes(15 * DAY)
    with pytest.raises(IllegalTransition, match=r"was removed on 2027-\d\d-\d\d") as caught:
        await host.ledger.change(job.id, lambda j: steps.retry(j, NOW))
    assert caught.value.reason.next_step == "Drop its picture again."
    assert caught.value.reason.key == "removed"


async def test_a_job_that_is_tried_again_and_fails_anew_has_all_its_days_again(host):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()
    await host.passes(13 * DAY)
    await host.ledger.change(job.id, lambda j: steps.retry(j, host.wall))
    await host.ledger.change(job.id, lambda j: steps.cancel(j, host.wall))
    await host.passes(2 * DAY)
    assert host.there(job)
    await host.passes(14 * DAY)
    assert not host.there(job)


@pytest.mark.parametrize("ends", [False, True])
async def test_a_retry_between_look_and_removal_keeps_the_work(host, monkeypatch, ends):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()
    real = host.ledger.change
    tried = []

    async def change(job_id, step, **more):
        if not tried:
            tried.append(1)
            await real(job_id, lambda j: steps.retry(j, host.wall))
            if ends:
                await real(job_id, lambda j: steps.cancel(j, host.wall))
        return await real(job_id, step, **more)

    monkeypatch.setattr(host.ledger, "change", change)
    await host.passes(15 * DAY)
    assert host.there(job)
    after = await host.ledger.get(job.id)
    assert (after.state, after.removed) == (State.CANCELLED if ends else State.QUEUED, 0)


async def test_work_without_a_row_and_strangers_folders_are_left_alone(host):
    lost = host.settings.work / ("ab" * 16)
    lost.mkdir()
    (host.settings.state.path / "lost+found").mkdir()
    await host.keeper.sweep()
    await host.passes(1000 * DAY)
    assert lost.is_dir()
    assert (host.settings.state.path / "lost+found").is_dir()


async def test_beyond_so_many_gigabytes_the_oldest_work_goes_first(host):
    host.settings = msgspec.structs.replace(
        host.settings, keep=KeepSettings(work_gigabytes=3 * 4096 * 1.5 / 1e9)
    )
    host.start()
    old = await host.job(State.FAILED)
    await host.keeper.sweep()
    await host.passes(2 * HOUR)
    new = await host.job(State.FAILED)
    await host.passes(0.5 * HOUR)
    assert not host.there(old)
    assert host.there(new)


async def test_a_finished_job_s_folder_that_a_crash_left_goes_at_the_start(host, monkeypatch):
    done = await host.job(State.DONE, outbox="cat-1")
    failed = await host.job(State.FAILED)
    task = asyncio.create_task(host.keeper.run())
    async with asyncio.timeout(45):
        while host.there(done):
            await asyncio.sleep(0.01)
    task.cancel()
    assert host.there(failed)
    assert (await host.ledger.get(done.id)).removed == 0


async def test_a_rejected_picture_goes_with_its_reason_and_its_ticket(host):
    folder = host.reject()
    (folder / "mine.psd").write_text("a person's")
    await host.keeper.sweep()
    await host.passes(89 * DAY)
    assert len(list(folder.iterdir())) == 4
    await host.passes(2 * DAY)
    assert [path.name for path in folder.iterdir()] == ["mine.psd"]


async def test_a_finished_video_goes_only_if_it_is_its_jobs(host):
    job = await host.job(State.DONE, outbox="cat-12345678")
    outbox = host.settings.outbox.path
    for name, said in (("cat-12345678", job.id), ("dog-12345678", job.id), ("cow-12345678", "")):
        (outbox / name).mkdir()
        (outbox / name / "receipt.json").write_text(f'{{"job": "{said}"}}')
    (outbox / "holiday").mkdir()
    await host.keeper.sweep()
    await host.passes(31 * DAY)
    assert sorted(p.name for p in outbox.iterdir()) == ["cow-12345678", "dog-12345678", "holiday"]
    assert (await host.ledger.get(job.id)).removed == host.wall


@pytest.mark.parametrize("jump", [50 * 365 * DAY, -50 * 365 * DAY])
async def test_a_clock_that_jumps_wipes_nothing(host, jump):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()
    host.wall += jump
    host.steady += HOUR
    await host.keeper.sweep()
    assert host.there(job)
    # And not after a restart either, over which the wall clock alone tells how long it was.
    for _ in range(3):
        host.wall += jump
        host.start()
        await host.keeper.sweep()
    assert host.there(job)


async def test_an_hour_that_was_counted_is_counted_once_over_restarts(host):
    job = await host.job(State.FAILED)
    for _ in range(13):
        host.start()
        await host.passes(DAY)
    assert host.there(job)
    for _ in range(2):
        host.start()
        await host.passes(DAY)
    assert not host.there(job)


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"wall": 1, "things": {"work": 3}}', b"\xff"])
async def test_a_book_that_cannot_be_read_makes_all_young_again(host, body):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()
    await host.passes(13 * DAY)
    host.settings.keep_book.write_bytes(body)
    host.start()
    await host.passes(2 * DAY)
    assert host.there(job)


def test_names_that_are_no_text_are_written_down_as_they_are(tmp_path):
    count = {"\udcff\udcfe.png.why.txt": books.Count("1", 5.0, 7)}
    book = KeepBook(wall=3.0, things={KeptKind.REJECTED: count})
    books.save(tmp_path / "keep.json", book)
    assert books.read(tmp_path / "keep.json") == book


async def test_when_a_disk_becomes_short_it_looks_at_once(host, monkeypatch):
    monkeypatch.setattr(keepers, "GLANCE_SECONDS", 0.001)
    short, looked = [False], asyncio.Event()
    keeper = Keeper(host.settings, (), short=lambda: short[0])
    sweep = keeper.sweep

    async def swept():
        looked.set()
        return await sweep()

    monkeypatch.setattr(keepers, "FIRST_SECONDS", 1e9)
    monkeypatch.setattr(keeper, "sweep", swept)
    task = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.05)
    assert not looked.is_set()
    short[0] = True
    async with asyncio.timeout(45):
        await looked.wait()
    task.cancel()


async def test_ten_thousand_folders_take_little_memory(host):
    jobs = [make_job(State.FAILED) for _ in range(300)]
    for job in jobs:
        (host.settings.work / job.id).mkdir()
    for number in range(9700):
        (host.settings.work / f"{number:032x}").mkdir()
    for job in jobs:
        await host.ledger.add(job, claim=job.id)
    tracemalloc.start()
    try:
        await host.keeper.sweep()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert host.keeper.status.kept[0].count == 300


async def test_the_status_says_what_is_kept_and_what_goes_next(host):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()
    await host.passes(DAY)
    status = host.keeper.status
    (work,) = status.kept
    assert (work.kind, work.count, work.bytes) == (KeptKind.WORK, 1, 3 * 4096)
    assert status.next is not None
    assert (status.next.name, status.next.at) == (job.id, host.wall + 13 * DAY)
    assert status.looked == host.wall


async def test_a_person_s_text_that_is_called_like_a_reason_is_not_what_goes_next_for_ever(host):
    folder = host.reject()
    (folder / "a.png.why.txt").write_text("why I like this one")
    await host.keeper.sweep()
    await host.passes(90 * DAY)
    assert [file.name for file in folder.iterdir()] == ["a.png.why.txt"]
    later = host.reject("z")
    await host.passes(HOUR)
    assert host.keeper.status.next.name == f"{later}/z.png.why.txt"
    assert [(each.kind, each.count) for each in host.keeper.status.kept] == [(KeptKind.REJECTED, 1)]


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
async def test_the_picture_of_an_ended_job_is_given_back_before_its_work_goes(host, state):
    """One that could not be given back at once: its last copy lies in the work folder."""
    picture = plain_image("cat.png", file="cat.png")
    job = await host.job(state, origin="inbox", images=(picture,))
    owe(host.settings.work / job.id)
    (host.settings.work / job.id / "cat.png").write_text("a picture")
    host.settings.outbox.path.rmdir()
    await host.keeper.sweep()
    await host.passes(15 * DAY)
    assert host.there(job), "neither inbox nor outbox is there"
    (host.settings.inbox.path / ".zoetrope").mkdir()
    await host.passes(HOUR)
    assert not host.there(job)
    rejected = host.settings.inbox.path / "rejected"
    assert (rejected / "cat.png").read_text() == "a picture"
    assert job.short in (rejected / "cat.png.why.txt").read_text()
