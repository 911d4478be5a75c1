"""Retention at work: what its time is over for goes whole, and nothing else is touched."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.fakes.kills import Kill, Killed
from tests.fakes.precious import make_precious, snapshot, swap_before_each_call
from tests.web.fakes import make_job
from zoetrope.beneath import Beneath
from zoetrope.domain import steps
from zoetrope.domain.job import Job, State
from zoetrope.errors import IllegalTransition, LedgerError
from zoetrope.inbox.rejected import RejectedPictures
from zoetrope.jobs import keep_book as books
from zoetrope.jobs import keeper as keepers
from zoetrope.jobs.keep import DAY, HOUR, KeepBook, KeptKind
from zoetrope.jobs.keeper import Holding, Keeper
from zoetrope.jobs.published import PublishedVideos
from zoetrope.jobs.work import EndedWork, WorkFolders
from zoetrope.settings import InboxSettings, KeepSettings, OutboxSettings, Settings, StateSettings
from zoetrope.store.sqlite.ledger import Ledger

NOW = 1_800_000_000.0
ENDED = (State.FAILED, State.CANCELLED, State.REJECTED)
GOES_ON = (State.WAITING, State.QUEUED, State.RUNNING, State.REVIEW)


class Host:
    """State, inbox and outbox of a service, and clocks that a test sets."""

    def __init__(self, root: Path, keep: KeepSettings) -> None:
        self.settings = Settings(
            inbox=InboxSettings(path=root / "inbox"),
            outbox=OutboxSettings(path=root / "outbox"),
            state=StateSettings(path=root / "state"),
            keep=keep,
        )
        for folder in (self.settings.inbox.path, self.settings.outbox.path, self.settings.work):
            folder.mkdir(parents=True, exist_ok=True)
        self.wall, self.steady = NOW, 1000.0
        self.ledger: Ledger
        self.keeper: Keeper

    async def open(self) -> None:
        self.ledger = await Ledger.open(self.settings.ledger_file)
        self.start()

    def start(self) -> None:
        """Begin as a new process does."""
        settings, clock = self.settings, lambda: self.wall
        places: list[Holding] = [
            EndedWork(WorkFolders(settings.work), self.ledger, clock),
            RejectedPictures(settings.inbox.path, settings.outbox.path),
            PublishedVideos(settings.outbox.path, self.ledger, clock),
        ]
        self.keeper = Keeper(settings, places, clock=clock, steady=lambda: self.steady)

    async def passes(self, seconds: float) -> None:
        """Let time pass, as both clocks say."""
        self.wall += seconds
        self.steady += seconds
        await self.keeper.sweep()

    async def job(self, state: State, *, files: int = 3, **more: object) -> Job:
        """Make a job that has a work folder."""
        job = make_job(state, **more)
        folder = self.settings.work / job.id / "stages"
        folder.mkdir(parents=True)
        for number in range(files):
            (folder / f"clip{number}.mp4").write_bytes(b"x" * 4096)
        return await self.ledger.add(job, claim=job.id)

    def there(self, job: Job) -> bool:
        return (self.settings.work / job.id).is_dir()

    def reject(self, name: str = "cat") -> Path:
        """Lay a rejected picture with its ticket and its reason."""
        folder = self.settings.inbox.path / "rejected"
        folder.mkdir(exist_ok=True)
        for end in (".png", ".toml", ".png.why.txt"):
            (folder / f"{name}{end}").write_text(f"{name}.png was rejected.\n")
        return folder


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path, KeepSettings(outbox_days=30))
    await host.open()
    yield host
    await host.ledger.close()


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
    async with asyncio.timeout(20):
        while host.there(done):
            await asyncio.sleep(0.01)
    task.cancel()
    assert host.there(failed)
    assert (await host.ledger.get(done.id)).removed == 0


# Pictures and videos.


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


# Clocks.


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


# Killed at any step.


async def test_killed_at_any_step_work_is_whole_or_gone(tmp_path):
    for at in range(300):
        host = Host(tmp_path / str(at), KeepSettings())
        await host.open()
        try:
            job = await host.job(State.FAILED, files=2)
            await host.keeper.sweep()
            files = snapshot(host.settings.work / job.id)
            kill = Kill(at)
            with pytest.MonkeyPatch.context() as patch:
                kill.install(patch)
                with contextlib.suppress(Killed):
                    await host.passes(15 * DAY)
            if host.there(job):
                assert snapshot(host.settings.work / job.id) == files, f"killed before call {at}"
            host.start()
            await host.passes(HOUR)
            after = await host.ledger.get(job.id)
            if after.removed:
                assert list(host.settings.work.iterdir()) == [], f"killed before call {at}"
            else:
                assert snapshot(host.settings.work / job.id) == files, f"killed before call {at}"
                await host.ledger.change(job.id, lambda j: steps.retry(j, NOW))
        finally:
            await host.ledger.close()
        shutil.rmtree(tmp_path / str(at))
        if not kill.done:
            assert at > 10
            assert after.removed
            return
    pytest.fail("it never got through")


async def test_killed_at_any_step_a_rejected_picture_goes_at_the_next_look(tmp_path):
    for at in range(300):
        host = Host(tmp_path / str(at), KeepSettings())
        await host.open()
        try:
            folder = host.reject()
            await host.keeper.sweep()
            kill = Kill(at)
            with pytest.MonkeyPatch.context() as patch:
                kill.install(patch)
                with contextlib.suppress(Killed):
                    await host.passes(91 * DAY)
            left = {path.name for path in folder.iterdir()}
            # A picture is never there without its reason.
            assert not left or "cat.png.why.txt" in left
            host.start()
            for _ in range(91):
                await host.passes(DAY)
                if not list(folder.iterdir()):
                    break
            assert list(folder.iterdir()) == []
        finally:
            await host.ledger.close()
        if not kill.done:
            assert at > 5
            return
    pytest.fail("it never got through")


# Links.


async def test_links_in_work_lead_nowhere(host, tmp_path):
    precious = make_precious(tmp_path / "precious")
    before = snapshot(precious)
    job = await host.job(State.FAILED)
    work = host.settings.work
    (work / job.id / "stages" / "link").symlink_to(precious)
    (work / job.id / "file").symlink_to(precious / "ledger.db")
    other = await host.job(State.FAILED)
    shutil.rmtree(work / other.id)
    (work / other.id).symlink_to(precious)
    (work / f".{'cd' * 16}.removed").symlink_to(precious)
    await host.keeper.sweep()
    await host.passes(15 * DAY)
    assert not host.there(job)
    assert snapshot(precious) == before


@pytest.mark.parametrize("place", ["", "stages"])
def test_a_folder_that_becomes_a_link_at_any_step_leads_nowhere(tmp_path, monkeypatch, place):
    name = "ab" * 16

    def lay(root):
        work = root / "work"
        (work / name / "stages").mkdir(parents=True)
        (work / name / "stages" / "cat.png").write_text("a clip")
        (work / name / "cat.png").write_text("a picture")
        precious = make_precious(root / "precious", "stages/cat.png")
        folders = WorkFolders(work)

        def act():
            folders.clear()
            for each in folders.names():
                folders.size(each)
                folders.remove(each)

        return act, work / name / place, precious

    swap_before_each_call(tmp_path, monkeypatch, lay, most=200)


# Trouble of the host.


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
async def test_one_folder_that_cannot_be_removed_keeps_no_other_and_is_said_once(
    host, monkeypatch, caplog, code
):
    bad, good = await host.job(State.FAILED), await host.job(State.FAILED)
    folder = host.reject()
    await host.keeper.sweep()
    real = os.rename

    def rename(path, to, **at):
        if path == bad.id:
            raise OSError(code, os.strerror(code), path)
        return real(path, to, **at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        for _ in range(3):
            await host.passes(91 * DAY)
        assert host.there(bad)
        assert not host.there(good)
        assert list(folder.iterdir()) == []
        (problem,) = host.keeper.status.problems
        assert bad.id in problem.sentence
        assert problem.next_step
        said = [r for r in caplog.records if "retention waits" in r.getMessage()]
        assert len(said) == 1
    await host.passes(HOUR)
    assert not host.there(bad)
    assert host.keeper.status.problems == ()


async def test_a_share_that_is_gone_keeps_no_other_place_and_its_ages_wait(host, caplog):
    job = await host.job(State.FAILED)
    host.reject()
    await host.keeper.sweep()
    await host.passes(10 * DAY)
    inbox = host.settings.inbox.path
    inbox.rename(inbox.with_name("away"))
    await host.passes(100 * DAY)
    assert not host.there(job)
    assert [reason.key for reason in host.keeper.status.problems] == ["missing"]
    inbox.with_name("away").rename(inbox)
    await host.passes(1 * DAY)
    assert len(list((inbox / "rejected").iterdir())) == 3
    assert host.keeper.status.problems == ()


async def test_a_ledger_that_does_not_answer_removes_nothing(host, monkeypatch):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()

    async def broken(*_, **__):
        raise LedgerError("The ledger cannot be used: disk I/O error.")

    with monkeypatch.context() as patch:
        patch.setattr(host.ledger, "get", broken)
        await host.passes(15 * DAY)
        assert host.there(job)
        patch.undo()
        patch.setattr(host.ledger, "change", broken)
        await host.passes(15 * DAY)
        assert host.there(job)
    await host.passes(15 * DAY)
    assert not host.there(job)


async def test_on_a_full_disk_it_still_removes_and_says_once_that_ages_are_not_written(
    host, monkeypatch, caplog
):
    job = await host.job(State.FAILED)
    await host.keeper.sweep()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "keep.json")

    monkeypatch.setattr(books, "save", full)
    for _ in range(3):
        await host.passes(5 * DAY)
    assert not host.there(job)
    assert len([r for r in caplog.records if "could not be written" in r.getMessage()]) == 1


async def test_a_mistake_of_ours_is_logged_and_tried_again(host, monkeypatch, caplog):
    monkeypatch.setattr(keepers, "FIRST_SECONDS", 0)
    monkeypatch.setattr(keepers, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(keepers, "GLANCE_SECONDS", 0.01)
    tries: list[int] = []
    twice = asyncio.Event()

    def surprise(*_):
        tries.append(1)
        if len(tries) > 1:
            twice.set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(keepers, "aged", surprise)
    task = asyncio.create_task(host.keeper.run())
    async with asyncio.timeout(20):
        await twice.wait()
    assert not task.done()
    task.cancel()
    assert "a bug" in caplog.text


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
    async with asyncio.timeout(20):
        await looked.wait()
    task.cancel()


async def test_ten_thousand_folders_take_little_memory(host):
    jobs = [make_job(State.FAILED) for _ in range(2000)]
    for job in jobs:
        (host.settings.work / job.id).mkdir()
    for number in range(8000):
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
    assert host.keeper.status.kept[0].count == 2000


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


async def test_things_that_cannot_be_removed_let_the_others_have_their_turn(host, monkeypatch):
    folder = host.reject("z")
    for number in range(keepers.MOST_FAILURES + 3):
        host.reject(f"bad{number}")
    old = NOW - 100 * DAY
    for file in folder.glob("bad*"):
        os.utime(file, (old, old))
    await host.keeper.sweep()
    real = Beneath.unlink

    def unlink(tree, path):
        if "/bad" in path:
            raise PermissionError(errno.EACCES, "Permission denied", tree.full(path))
        real(tree, path)

    monkeypatch.setattr(Beneath, "unlink", unlink)
    for _ in range(3):
        await host.passes(91 * DAY)
    assert list(folder.glob("z.*")) == []
    assert len(list(folder.glob("bad*"))) == 3 * (keepers.MOST_FAILURES + 3)
    assert len(host.keeper.status.problems) == 1


@pytest.mark.parametrize("place", ["work", "outbox"])
async def test_a_removal_that_cannot_be_finished_keeps_no_other(host, monkeypatch, place):
    root = host.settings.work if place == "work" else host.settings.outbox.path
    stuck = root / f".{'0' * 32}.removed"
    stuck.mkdir()
    real = Beneath.remove

    def remove(tree, path):
        if path == stuck.name:
            raise PermissionError(errno.EACCES, "Permission denied", tree.full(path))
        real(tree, path)

    monkeypatch.setattr(Beneath, "remove", remove)
    if place == "work":
        job = await host.job(State.FAILED)
        going = host.settings.work / job.id
    else:
        job = make_job(State.DONE)
        job = await host.ledger.add(
            msgspec.structs.replace(job, outbox=f"cat-{job.short}"), claim=job.id
        )
        going = root / job.outbox
        going.mkdir()
        (going / "receipt.json").write_text(f'{{"job": "{job.id}"}}')
    await host.keeper.sweep()
    await host.passes(91 * DAY)
    assert not going.exists()
    (problem,) = host.keeper.status.problems
    assert stuck.name in problem.sentence


async def test_work_that_cannot_be_removed_keeps_no_work_of_later_jobs(host, monkeypatch):
    bad = await host.job(State.FAILED)
    await host.keeper.sweep()
    real = os.rename

    def rename(path, to, **at):
        if path == bad.id:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path, to, **at)

    monkeypatch.setattr(os, "rename", rename)
    await host.passes(15 * DAY)
    later = await host.job(State.FAILED)
    await host.passes(HOUR)
    await host.passes(15 * DAY)
    assert not host.there(later)
    assert host.there(bad)


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
