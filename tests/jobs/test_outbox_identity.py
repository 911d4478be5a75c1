"""An outbox whose disk is absent gets no video: it is known by a mark, also over restarts, and by whoever replaced it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.fakes.pipeline import Pipeline
from zoetrope.beneath import Beneath
from zoetrope.domain.job import State
from zoetrope.jobs.outbox_identity import (
    MARK,
    FoundOutbox,
    KnownOutbox,
    OutboxAway,
    OutboxIdentity,
    away,
    is_same,
)

KNOWN = KnownOutbox(path="/mnt/disk/out", mark="aa", inode=7, mount="/mnt/disk")


@pytest.mark.parametrize(
    ("seen", "same", "words"),
    [
        (FoundOutbox(mark="aa", inode=7, mount="/mnt/disk"), True, ""),
        # Copied to another disk, with all that is in it.
        (FoundOutbox(mark="aa", inode=9, mount="/mnt/other"), True, ""),
        # Somebody removed the mark.
        (FoundOutbox(mark="", inode=7, mount="/mnt/disk"), True, ""),
        (
            FoundOutbox(mark="", inode=9, mount="/"),
            False,
            "/mnt/disk, which holds the outbox, is not mounted",
        ),
        (FoundOutbox(mark="", inode=9, mount="/mnt/disk"), False, "not the outbox that it was"),
        (
            FoundOutbox(mark="bb", inode=7, mount="/mnt/disk"),
            False,
            "another outbox than the one before",
        ),
    ],
)
def test_a_folder_is_known_by_its_mark_or_as_the_same_folder(seen, same, words):
    assert is_same(KNOWN, seen) is same
    if not same:
        reason = away(KNOWN, seen).reason
        assert words in reason.sentence
        assert "goes on by itself" in reason.next_step
        assert f"echo aa > /mnt/disk/out/{MARK}" in reason.next_step


@pytest.fixture
def outbox(tmp_path):
    (tmp_path / "a disk" / "out").mkdir(parents=True)
    return tmp_path / "a disk" / "out"


def check(outbox, file=None):
    """Look as a service does that has just started."""
    with Beneath(outbox) as tree:
        OutboxIdentity(outbox, file or outbox.parent.parent / "outbox.json").check(tree)


def take_disk_away(outbox):
    outbox.rename(outbox.parent.parent / "away")
    outbox.mkdir()


def test_below_an_absent_mount_nothing_is_written_and_the_way_out_works_as_it_is_said(outbox):
    check(outbox)
    check(outbox)
    take_disk_away(outbox)
    for _ in range(2):
        with pytest.raises(OutboxAway) as error:
            check(outbox)
    assert not list(outbox.iterdir())
    # It is back.
    outbox.rmdir()
    (outbox.parent.parent / "away").rename(outbox)
    check(outbox)
    # It is replaced on purpose.
    take_disk_away(outbox)
    command = error.value.reason.next_step.rpartition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    check(outbox)
    check(outbox)


def test_an_outbox_that_was_copied_to_a_new_disk_needs_nothing(outbox):
    check(outbox)
    take_disk_away(outbox)
    shutil.copytree(outbox.parent.parent / "away", outbox, dirs_exist_ok=True)
    check(outbox)


@pytest.mark.parametrize("kind", ["gone", "link", "pipe", "garbage", "half", "text"])
def test_a_mark_that_a_member_of_the_share_removed_or_replaced_is_written_again(outbox, kind):
    check(outbox)
    mark = outbox / MARK
    said = mark.read_text()
    precious = outbox.parent / "precious"
    precious.write_text("mine")
    mark.unlink()
    match kind:
        case "link":
            mark.symlink_to(precious)
        case "pipe":
            os.mkfifo(mark)
        case "garbage":
            mark.write_bytes(b"\xff" * 1000)
        case "half":
            mark.write_text(said[:16])
        case "text":
            mark.write_text("mine")
    check(outbox)
    assert mark.read_text() == said
    assert precious.read_text() == "mine"


def test_what_is_remembered_is_of_one_path_and_may_be_lost(outbox, tmp_path):
    file = tmp_path / "outbox.json"
    check(outbox, file)
    mark = (outbox / MARK).read_text()
    file.write_text("[" * 1000)
    check(outbox, file)
    assert (outbox / MARK).read_text() == mark
    other = tmp_path / "other"
    other.mkdir()
    check(other, file)  # the settings name another outbox now
    assert (other / MARK).read_text() != mark


@pytest.fixture
def soon(monkeypatch):
    for name in ("publisher.FIRST_PAUSE", "publisher.LONGEST_PAUSE", "outbox_watch.LOOK_SECONDS"):
        monkeypatch.setattr(f"zoetrope.jobs.{name}", 0.05)


async def test_while_the_outbox_is_absent_videos_wait_and_say_so_also_after_a_restart(
    pipeline: Pipeline, soon
):
    await pipeline.becomes(await pipeline.drop(stem="first"), State.DONE)
    outbox = pipeline.settings.outbox.path
    outbox.rename(pipeline.root / "away")
    outbox.mkdir()
    await pipeline.until(lambda: pipeline.conductor.status().outbox is not None)
    job = await pipeline.waits(await pipeline.drop(), "outbox-away")
    assert job.state is State.RUNNING
    assert "echo " in job.reason.next_step
    await pipeline.stop()
    await pipeline.start()
    await pipeline.until(lambda: job.id in pipeline.conductor.status().waiting)
    reviewed = await pipeline.becomes(await pipeline.drop(stem="seen", review=True), State.REVIEW)
    await pipeline.waits(reviewed, "outbox-away")
    assert pipeline.conductor.status().outbox.key == "outbox-away"
    assert not list(outbox.iterdir())
    outbox.rmdir()
    (pipeline.root / "away").rename(outbox)
    done = await pipeline.becomes(job, State.DONE)
    assert (outbox / done.outbox / "cat.mp4").exists()
    await pipeline.until((outbox / "review" / f"seen-{reviewed.short}").exists)
    await pipeline.until(lambda: pipeline.conductor.status().outbox is None)
    assert len(pipeline.videos()) == 2


@pytest.mark.parametrize("at", ["rename", "fsync"])
def test_what_a_kill_leaves_of_the_mark_goes_at_the_next_start(outbox, tmp_path, at, monkeypatch):
    """A member sees no hidden file that stays for ever; a folder that they put at its name stops nothing."""
    file = tmp_path / "outbox.json"
    if (process := os.fork()) == 0:
        monkeypatch.setattr(os, at, lambda *_, **__: os._exit(9))
        with Beneath(outbox) as tree:
            OutboxIdentity(outbox, file).check(tree)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    for _ in range(2):
        with Beneath(outbox) as tree:
            OutboxIdentity(outbox, file).check(tree)
        assert [path.name for path in outbox.iterdir()] == [MARK]
    (outbox / MARK).unlink()
    (outbox / f"{MARK}.part").mkdir()
    with Beneath(outbox) as tree:
        OutboxIdentity(outbox, file).check(tree)
    assert {path.name for path in outbox.iterdir()} == {MARK, f"{MARK}.part"}
