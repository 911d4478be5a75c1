"""A start without the inbox's mount: the bare folder below is not the inbox, and nothing is taken or put there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State
from zoetrope.inbox.identity import InboxIdentity, KnownInbox, is_same
from zoetrope.inbox.presence import InboxMissing
from zoetrope.inbox.watcher import Watcher

ROOT = "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n"


def share(point: Path) -> str:
    return f"{ROOT}40 22 0:40 /pictures {point} rw - nfs4 nas:/export rw\n"


def inbox(inode: int, source: str, path: str = "/srv/inbox", point: str = "") -> KnownInbox:
    point = point or ("/srv" if source.startswith("nas") else "/")
    return KnownInbox(path=path, inode=inode, source=source, point=point)


@pytest.mark.parametrize(
    ("known", "seen", "same"),
    [
        (inbox(2, "nas:/a"), inbox(2, "nas:/a"), True),
        (inbox(2, "nas:/a"), inbox(7, "/dev/vda1"), False),
        (inbox(2, "nas:/a"), inbox(7, "nas:/a"), True),  # removed, and made anew
        (inbox(2, "/dev/sda1"), inbox(2, "/dev/sdb1"), True),  # the disk has another name
        (inbox(2, ""), inbox(7, "/dev/vda1"), True),  # nothing tells
        (inbox(2, "nas:/a"), inbox(7, ""), True),
        (
            inbox(2, "nas:/a"),
            inbox(7, "/dev/vda1", "/srv/other"),
            True,
        ),  # the settings name another
        (
            inbox(7, "/dev/vda1"),
            inbox(2, "nas:/a"),
            True,
        ),  # a share is mounted where there was none
        (inbox(2, "nas:/a"), inbox(7, "nas:/b"), True),
    ],
)
def test_a_folder_is_the_inbox_by_itself_or_by_what_it_lies_on(known, seen, same):
    assert is_same(known, seen) is same


def test_it_is_remembered_over_restarts_and_a_deliberate_move_takes_one_command(tmp_path):
    root, file = tmp_path / "inbox", tmp_path / "inbox.json"
    InboxIdentity(root, file, lambda: ROOT).check()
    assert not file.exists(), "what is not there is not remembered"
    root.mkdir()
    # The first start, without the mount, and then with it.
    InboxIdentity(root, file, lambda: ROOT).check()
    bare = tmp_path / "bare"
    root.rename(bare)
    root.mkdir()
    InboxIdentity(root, file, lambda: share(root)).check()
    known = file.read_bytes()
    # In a unit's sandbox the folder is mounted on itself, and the mount is absent.
    root.rename(tmp_path / "share")
    bare.rename(root)
    sandbox = f"{ROOT}50 22 254:1 {root} {root} rw - ext4 /dev/vda1 rw\n"
    for table in (ROOT, sandbox):
        restarted = InboxIdentity(root, file, lambda table=table: table)
        with pytest.raises(InboxMissing, match="nas:/export, which holds the inbox") as error:
            restarted.check()
        assert error.value.reason.next_step.endswith(f"rm {file}")
    assert file.read_bytes() == known
    file.unlink()
    restarted.check()
    for content in (b"", b"{", b"[" * 100_000, b"\xff"):
        file.write_bytes(content)
        restarted.check()
    assert b"/dev/vda1" in file.read_bytes()


async def test_a_start_without_the_mount_takes_nothing_and_puts_nothing_there(world, tmp_path):
    file, tables = tmp_path / "inbox.json", [share(world.inbox)]
    identity = InboxIdentity(world.inbox, file, lambda: tables[-1])
    identity.check()
    aside = tmp_path / "share"
    world.inbox.rename(aside)
    world.inbox.mkdir()
    write_picture(world.inbox / "stray.png")
    tables.append(ROOT)
    world.make_intake(identify=identity.check)
    world.watcher = Watcher(world.settings.inbox, identify=identity.check)
    world.tasks = [
        asyncio.create_task(world.watcher.run()),
        asyncio.create_task(world.intake.run(world.watcher)),
    ]
    await until(lambda: world.watcher.status.problem and world.intake.status.problem)
    assert world.watcher.status.problem.key == "inbox-away"
    assert world.intake.status.problem.key == "inbox-away"
    assert [path.name for path in world.inbox.iterdir()] == ["stray.png"]
    (world.inbox / "stray.png").unlink()
    world.inbox.rmdir()
    aside.rename(world.inbox)
    tables.append(share(world.inbox))
    write_picture(world.inbox / "cat.png")
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert job.stem == "cat"
    await world.stop()
