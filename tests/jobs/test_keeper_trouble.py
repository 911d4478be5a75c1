"""Retention on a host in trouble: killed, led by links, refused by a disk, a share or the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil

import msgspec
import pytest

from tests.fakes.keeping import NOW, Host
from tests.fakes.kills import Kill, Killed
from tests.fakes.precious import make_precious, snapshot, swap_before_each_call
from tests.web.fakes import make_job
from zoetrope.beneath import Beneath
from zoetrope.domain import steps
from zoetrope.domain.job import State
from zoetrope.errors import LedgerError
from zoetrope.jobs import keep_book as books
from zoetrope.jobs import keeper as keepers
from zoetrope.jobs.keep import DAY, HOUR
from zoetrope.jobs.work import WorkFolders
from zoetrope.settings import KeepSettings


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
            await host.passes(DAY)
            if list(folder.iterdir()):  # what was only begun may be seen as new
                await host.passes(90 * DAY)
            assert list(folder.iterdir()) == []
        finally:
            await host.ledger.close()
        if not kill.done:
            assert at > 5
            return
    pytest.fail("it never got through")


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
    async with asyncio.timeout(45):
        await twice.wait()
    assert not task.done()
    task.cancel()
    assert "a bug" in caplog.text


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
