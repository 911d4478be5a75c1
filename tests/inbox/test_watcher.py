import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.inbox.conftest import until
from zoetrope.inbox import scan
from zoetrope.inbox.watcher import ROOT_SECONDS, Watcher
from zoetrope.mounts import read_table
from zoetrope.settings import InboxSettings

NFS = "22 1 254:1 / / rw - nfs4 nas:/ rw\n"


class Running:
    """A watcher at work, with what it handed out."""

    def __init__(self, settings, **options):
        self.watcher = Watcher(settings, **options)
        self.drops = []
        self.hold = False
        self.tasks = [asyncio.create_task(self.watcher.run()), asyncio.create_task(self._collect())]

    async def _collect(self):
        while True:
            drop = await self.watcher.next()
            self.drops.append(drop)
            if not self.hold:
                self.watcher.done(drop)

    @property
    def names(self):
        return [drop.paths[0] for drop in self.drops]

    async def wait_for(self, *names):
        await until(lambda: sorted(self.names) == sorted(names))

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "inbox").mkdir()
    return InboxSettings(
        path=tmp_path / "inbox",
        settle_seconds=0.1,
        ticket_grace_seconds=0.0,
        rescan_seconds=60.0,
        claim="copy",  # nothing is moved here, so a drop that was done stays where it is
    )


@pytest.fixture
async def start(settings):
    running = []

    async def start(**options):
        changes = {k: options.pop(k) for k in list(options) if k in settings.__struct_fields__}
        started = Running(msgspec.structs.replace(settings, **changes), **options)
        running.append(started)
        await until(lambda: started.watcher.status.last_scan or started.watcher.status.problem)
        return started

    yield start
    for each in running:
        await each.stop()


@pytest.fixture
def inbox(settings):
    return settings.path


async def test_a_written_file_is_handed_out_when_it_stood_still(start, inbox):
    running = await start()
    assert running.watcher.status.mode == "inotify"
    began = time.monotonic()
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")
    assert time.monotonic() - began >= 0.1


async def test_a_file_that_grows_is_not_handed_out(start, inbox):
    running = await start(settle_seconds=0.6)
    stalled = False
    with (inbox / "cat.png").open("wb") as file:
        for _ in range(12):
            before = time.monotonic()
            file.write(b"x")
            file.flush()
            await asyncio.sleep(0.1)
            # On a busy machine the writer itself may stand still for as long.
            stalled = stalled or time.monotonic() - before >= 0.6
            assert stalled or running.drops == []
    await until(lambda: running.drops)
    assert set(running.names) == {"cat.png"}


async def test_a_file_that_is_moved_in_is_handed_out_at_once(start, inbox, tmp_path):
    running = await start(settle_seconds=30.0)
    (tmp_path / "cat.png").write_bytes(b"x")
    os.utime(tmp_path / "cat.png", (1, 1))
    (tmp_path / "cat.png").rename(inbox / "cat.png")
    await running.wait_for("cat.png")


async def test_what_was_there_before_is_found_at_the_start(start, inbox):
    (inbox / "hero").mkdir()
    for name in ("a.png", "hero/b.png"):
        (inbox / name).write_bytes(b"x")
    running = await start()
    await running.wait_for("a.png", "hero/b.png")


async def test_a_folder_that_is_moved_in_whole_is_searched(start, inbox, tmp_path):
    running = await start()
    (tmp_path / "holiday" / "deep").mkdir(parents=True)
    (tmp_path / "holiday" / "a.png").write_bytes(b"x")
    (tmp_path / "holiday" / "deep" / "b.png").write_bytes(b"x")
    (tmp_path / "holiday").rename(inbox / "holiday")
    await running.wait_for("holiday/a.png", "holiday/deep/b.png")


def watched_inodes() -> set[int]:
    """Ask the kernel which files and folders this process listens to."""
    found = set()
    for info in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            lines = info.read_text().splitlines()
            words = [line.split() for line in lines if line.startswith("inotify ")]
            found |= {int(each[2].removeprefix("ino:"), 16) for each in words}
    return found


async def test_what_a_link_leads_to_is_neither_walked_nor_listened_to(start, inbox, tmp_path):
    """A member's link to / would have every folder of the disk watched, and the service stand still for it."""
    (tmp_path / "outside/below").mkdir(parents=True)
    (inbox / "plain").mkdir()
    (inbox / "plain/link").symlink_to(tmp_path / "outside")
    (inbox / "link").symlink_to(tmp_path / "outside")
    await start()
    await until(lambda: (inbox / "plain").stat().st_ino in watched_inodes())
    (inbox / "another").mkdir()
    (inbox / "another/link").symlink_to(tmp_path / "outside")
    await until(lambda: (inbox / "another").stat().st_ino in watched_inodes())
    outside = {(tmp_path / name).stat().st_ino for name in ("outside", "outside/below")}
    assert not watched_inodes() & outside


async def test_a_folder_is_listened_to_from_its_making_on_and_after_it_was_made_anew(
    start, inbox, tmp_path
):
    running = await start()
    for number in range(2):
        (inbox / "plain").mkdir()
        await until(lambda: (inbox / "plain").stat().st_ino in watched_inodes())
        (inbox / f"plain/cat{number}.png").write_text("x")
        await running.wait_for(*(f"plain/cat{each}.png" for each in range(number + 1)))
        shutil.rmtree(inbox / "plain")


async def test_difficult_names_are_handed_out(start, inbox):
    names = ["with space.png", "🐈.png", "Жук & co (1).png", "-rf.png", "two\nlines.png"]
    names.append("x" * 251 + ".png")
    running = await start()
    for name in names:
        (inbox / name).write_bytes(b"x")
    await running.wait_for(*names)


async def test_a_name_that_is_not_utf8_is_found_though_it_breaks_the_events(start, inbox):
    running = await start()
    (inbox / "\udcff\udcfe.png").write_bytes(b"x")
    await running.wait_for("\udcff\udcfe.png")
    assert running.watcher.status.problem is None
    # Until the events are heard again, the inbox is polled.
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("\udcff\udcfe.png", "cat.png")


async def test_ignored_files_are_not_handed_out_until_they_get_their_name(start, inbox):
    running = await start()
    (inbox / "cat.png.part").write_bytes(b"x")
    (inbox / ".hidden.png").write_bytes(b"x")
    (inbox / "dog.png").write_bytes(b"x")
    await running.wait_for("dog.png")
    (inbox / "cat.png.part").rename(inbox / "cat.png")
    await running.wait_for("dog.png", "cat.png")


@pytest.mark.parametrize("first", ["cat.png", "cat.toml"])
async def test_picture_and_ticket_go_together_in_either_order(start, inbox, first):
    running = await start(ticket_grace_seconds=60.0)
    second = "cat.toml" if first == "cat.png" else "cat.png"
    (inbox / first).write_bytes(b"x")
    await asyncio.sleep(0.3)
    assert running.drops == []
    (inbox / second).write_bytes(b"x")
    await until(lambda: running.drops)
    assert running.drops[0].paths == ("cat.png", "cat.toml")


async def test_two_halves_go_together(start, inbox):
    running = await start(ticket_grace_seconds=60.0)
    (inbox / "cat.end.png").write_bytes(b"x")
    (inbox / "cat.start.png").write_bytes(b"x")
    await until(lambda: running.drops)
    assert running.drops[0].paths == ("cat.start.png", "cat.end.png")


async def test_a_file_in_somebodys_hands_is_not_handed_out_twice(start, inbox):
    running = await start(rescan_seconds=0.1)
    running.hold = True
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")
    scanned = running.watcher.status.last_scan
    await until(lambda: running.watcher.status.last_scan > scanned + 0.3)
    assert running.names == ["cat.png"]
    running.watcher.again(running.drops[0], 0.3)
    await running.wait_for("cat.png", "cat.png")


async def test_a_file_that_stays_is_handed_out_again_only_when_it_changes(start, inbox):
    running = await start(rescan_seconds=0.1)
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")
    scanned = running.watcher.status.last_scan
    await until(lambda: running.watcher.status.last_scan > scanned + 0.3)
    assert running.names == ["cat.png"]
    (inbox / "cat.png").write_bytes(b"xx")
    await running.wait_for("cat.png", "cat.png")


async def test_files_are_handed_out_in_the_order_of_their_time(start, inbox):
    for number in (3, 1, 2):
        (inbox / f"{number}.png").write_bytes(b"x")
        os.utime(inbox / f"{number}.png", (number, number))
    running = await start(watch="poll")
    await until(lambda: len(running.drops) == 3)
    assert running.names == ["1.png", "2.png", "3.png"]


async def test_a_share_is_polled(start, inbox):
    running = await start(mounts=lambda: NFS)
    status = running.watcher.status
    assert (status.mode, status.file_system) == ("poll", "nfs4")
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")


@pytest.mark.parametrize(("watch", "mode"), [("poll", "poll"), ("inotify", "inotify")])
async def test_the_setting_wins_over_the_file_system(start, watch, mode):
    running = await start(watch=watch, mounts=lambda: NFS)
    assert running.watcher.status.mode == mode


async def test_when_events_cannot_be_had_the_inbox_is_polled_and_it_is_said(
    start, inbox, monkeypatch
):
    def no_more(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoetrope.inbox.events.awatch", no_more)
    running = await start()
    await until(lambda: running.watcher.status.problem)
    status = running.watcher.status
    assert (status.mode, status.problem.key) == ("poll", "inbox-events")
    assert "max_user_watches" in status.problem.next_step
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")


@pytest.mark.parametrize("watch", ["inotify", "poll"])
async def test_an_inbox_that_goes_away_is_said_and_watched_again_when_it_is_back(
    start, inbox, tmp_path, watch
):
    running = await start(watch=watch, rescan_seconds=0.2)
    inbox.rename(tmp_path / "away")
    await until(lambda: running.watcher.status.problem)
    status = running.watcher.status
    assert (status.mode, status.problem.key) == ("none", "inbox-missing")
    assert status.problem.next_step
    inbox.mkdir()
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")
    assert running.watcher.status.problem is None
    assert running.watcher.status.mode == watch
    (inbox / "dog.png").write_bytes(b"x")
    await running.wait_for("cat.png", "dog.png")


async def test_an_inbox_that_is_not_there_yet_is_waited_for(start, inbox):
    inbox.rmdir()
    running = await start(rescan_seconds=0.2)
    assert running.watcher.status.problem.key == "inbox-missing"
    inbox.mkdir()
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")


async def test_an_unmounted_share_is_not_an_empty_inbox(start, inbox, tmp_path):
    tables = [f"40 22 0:40 / {inbox} rw - ext4 /dev/vdb rw\n"]
    running = await start(rescan_seconds=0.2, mounts=lambda: tables[-1])
    tables.append("22 1 254:1 / / rw - ext4 /dev/vda1 rw\n")
    inbox.rename(tmp_path / "away")
    inbox.mkdir()  # the bare folder under the mount point
    (inbox / "stray.png").write_bytes(b"x")
    await until(lambda: running.watcher.status.problem)
    assert running.watcher.status.problem.key in ("inbox-unmounted", "inbox-missing")
    await until(lambda: running.watcher.status.problem.key == "inbox-unmounted")
    assert running.drops == []
    (inbox / "stray.png").unlink()
    inbox.rmdir()
    (tmp_path / "away").rename(inbox)
    tables.append(tables[0])
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")


async def test_a_share_that_hangs_is_said_and_waited_for(start, monkeypatch):
    monkeypatch.setattr("zoetrope.inbox.disk_thread.PATIENCE_SECONDS", 0.05)
    stuck = [True]

    def mounts():
        while stuck:
            time.sleep(0.01)
        return read_table()

    def hangs():
        # On a busy machine it is said first that no thread is free.
        problem = running.watcher.status.problem
        return problem and problem.key == "inbox-hangs"

    try:
        running = await start(rescan_seconds=0.2, mounts=mounts)
        await until(hangs)
        before = running.watcher.progress
        await until(lambda: running.watcher.progress > before)
    finally:
        stuck.clear()  # or the thread outlives everything
    await until(lambda: running.watcher.status.problem is None)


async def test_an_inbox_that_waits_for_a_thread_is_not_called_a_file_system_that_hangs(
    start, monkeypatch, caplog
):
    asyncio.get_running_loop().set_default_executor(pool := ThreadPoolExecutor(1))
    go = threading.Event()
    busy = pool.submit(go.wait, 60)  # other work of the service has every thread
    with monkeypatch.context() as patch:
        patch.setattr("zoetrope.inbox.disk_thread.PATIENCE_SECONDS", 0.05)
        running = await start(rescan_seconds=0.2)
        await until(lambda: running.watcher.status.problem)
        assert running.watcher.status.problem.key == "inbox-waits"
        before = running.watcher.progress
        await until(lambda: running.watcher.progress > before)
    go.set()  # what a look at the disk takes from here on is the machine's affair
    await until(lambda: running.watcher.status.problem is None)
    assert busy.result(0)
    assert "does not answer" not in caplog.text


# As root, every file can be read; a child that is nobody sees what the service would see.
AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from zoetrope.mounts import read_table
from zoetrope.inbox.watcher import Watcher
from zoetrope.settings import InboxSettings

async def watch(inbox, unreadable):
    watcher = Watcher(InboxSettings(path=inbox, settle_seconds=0.1, ticket_grace_seconds=0))
    task = asyncio.create_task(watcher.run())
    drop = await watcher.next()
    assert drop.paths == ("mine.png",), drop
    for _ in range(6000):
        if watcher.status.unreadable == unreadable:
            break
        await asyncio.sleep(0.01)
    assert watcher.status.unreadable == unreadable, watcher.status
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

# The first run, as root, loads every module; nobody may not look into root's Python.
asyncio.run(watch(Path(sys.argv[1]), ()))
(Path(sys.argv[1]) / "secret.png").write_bytes(b"x")
os.chmod(Path(sys.argv[1]) / "secret.png", 0o600)
os.setgroups([]), os.setgid(65534), os.setuid(65534)
asyncio.run(watch(Path(sys.argv[1]), ("secret.png",)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have a file of another user")
def test_a_file_that_only_its_owner_can_read_is_named_and_left():
    # Not under pytest's own folder, which is closed to others.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "mine.png").write_bytes(b"x")
        run = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, folder],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert run.stderr.count("secret.png cannot be read") == 1
        assert (Path(folder) / "secret.png").exists()


async def test_a_scan_from_before_claims_were_sorted_out_hands_out_nothing(
    settings, inbox, monkeypatch
):
    """It has not seen the ticket that was put back while it looked."""
    (inbox / "dog.png").write_bytes(b"x")
    os.utime(inbox / "dog.png", (1e9, 1e9))
    loop, real, put_back = asyncio.get_running_loop(), scan.scan, []

    def stale(*asked):
        found = real(*asked)
        if not put_back:
            put_back.append(True)
            (inbox / "dog.toml").write_text("seed = 8")
            loop.call_soon_threadsafe(running.watcher.hand_out)
        return found

    monkeypatch.setattr("zoetrope.inbox.scan.scan", stale)
    running = Running(settings)
    running.watcher.on_appearance = lambda: None
    try:
        await until(lambda: running.drops)
        assert [drop.paths for drop in running.drops] == [("dog.png", "dog.toml")]
    finally:
        await running.stop()


async def test_a_mistake_of_ours_does_not_end_the_watching(start, inbox, monkeypatch, caplog):
    running = await start(rescan_seconds=0.1)
    monkeypatch.setattr("zoetrope.inbox.watcher.ROOT_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("zoetrope.inbox.scan.scan", lambda *_: 1 / 0)
        await until(lambda: running.watcher.status.problem)
        assert running.watcher.status.problem.key == "inbox-error"
        assert "ZeroDivisionError" in caplog.text
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")
    await until(lambda: running.watcher.status.problem is None)


async def test_a_host_without_descriptors_is_named_and_no_mistake_of_ours(
    start, inbox, monkeypatch, caplog
):
    running = await start(rescan_seconds=0.1)
    monkeypatch.setattr("zoetrope.inbox.watcher.ROOT_SECONDS", 0.1)

    def spent(_: object) -> bool:
        raise OSError(errno.EMFILE, "Too many open files", "state/inbox.json")

    with monkeypatch.context() as patch:
        patch.setattr("zoetrope.inbox.presence.Presence.check", spent)
        await until(lambda: running.watcher.status.problem)
        assert running.watcher.status.problem.key == "files-spent"
        assert "Traceback" not in caplog.text
    (inbox / "cat.png").write_bytes(b"x")
    await running.wait_for("cat.png")
    await until(lambda: running.watcher.status.problem is None)


async def test_five_thousand_files_at_once_are_all_handed_out_once(start, inbox):
    for number in range(5000):
        (inbox / f"{number:04}.png").write_bytes(b"x")
    running = await start(rescan_seconds=1.0)
    await until(lambda: len(running.drops) >= 5000)
    assert len(set(running.names)) == 5000
    await until(lambda: running.watcher.status.files == 0)


async def test_an_idle_watcher_does_next_to_nothing(start, inbox):
    running = await start()
    (inbox / "cat.toml").write_bytes(b"")
    await until(lambda: running.watcher.status.files == 1)
    began = time.monotonic()
    rounds = {running.watcher.progress}
    for _ in range(50):
        await asyncio.sleep(0.01)
        rounds.add(running.watcher.progress)
    # The root itself is looked at from time to time, however long the machine takes for this.
    assert len(rounds) <= 4 + (time.monotonic() - began) / ROOT_SECONDS
