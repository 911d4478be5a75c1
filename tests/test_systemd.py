import asyncio
import os
import socket
import time

import pytest

from tests.web.fakes import WorkerStatus, make_job, make_parts
from zoetrope.domain.job import State
from zoetrope.errors import DiskFull, Reason
from zoetrope.jobs.progress import Live
from zoetrope.notifier import Notifier
from zoetrope.summary import rendering, sentence, summary
from zoetrope.systemd import (
    LEDGER_PATIENCE,
    SCAN_PATIENCE,
    Pulse,
    Reporter,
    stalled,
)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket like systemd's, with what NOTIFY_SOCKET says of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        if request.param == "path":
            named = str(tmp_path / "notify")
            unix.bind(named)
        else:
            named = f"@zoetrope-test-{os.getpid()}-{id(unix)}"
            unix.bind(f"\0{named[1:]}")
        unix.settimeout(60)
        yield named, unix


def heard(unix):
    return unix.recv(4096).decode().split("\n")


def test_systemd_hears_ready_status_watchdog_and_stopping(manager):
    named, unix = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": named})
    notifier.ready("idle")
    assert heard(unix) == ["READY=1", "STATUS=idle"]
    notifier.status("two\nlines")
    assert heard(unix) == ["STATUS=two lines"]
    notifier.alive()
    assert heard(unix) == ["WATCHDOG=1"]
    notifier.stopping()
    assert heard(unix)[0] == "STOPPING=1"


@pytest.mark.parametrize("named", ["", "/", "@", "vsock:2:1234", "relative"])
def test_without_a_socket_nothing_is_said_and_nothing_fails(named):
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": named})
    assert notifier.send("READY=1") is False


def test_a_socket_that_vanished_does_not_stop_the_service(tmp_path):
    assert Notifier(str(tmp_path / "gone")).send("READY=1") is False


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdogs_span_is_read(environ, seconds):
    assert Notifier.from_environ({"NOTIFY_SOCKET": "/x", **environ}).watchdog == seconds


@pytest.mark.parametrize(
    ("pulse", "part"),
    [
        (Pulse(loop=0), ""),
        (Pulse(loop=1, watcher=9, ledger=9), ""),
        (Pulse(loop=11, watcher=0, ledger=0), "event loop"),
        (Pulse(loop=0, watcher=11, ledger=0), "watcher"),
        (Pulse(loop=0, watcher=0, ledger=11), "ledger"),
        # A part that is not there owes no sign of life: it is said, not restarted.
        (Pulse(loop=0, watcher=None, ledger=None), ""),
    ],
)
def test_a_silent_part_keeps_the_sign_of_life_back(pulse, part):
    assert stalled(pulse, loop=10, watcher=10, ledger=10) == part


def test_the_status_is_one_human_sentence():
    counts = {State.RUNNING: 2, State.QUEUED: 14, State.REVIEW: 1, State.DONE: 99}
    assert summary(counts, [WorkerStatus()]) == (
        "2 running, 14 queued, 1 to review; engine comfyui is up"
    )
    now = [rendering("cat.png", Live(stage="i2v", engine="e", value=8, maximum=20, fraction=0.424))]
    assert summary(counts, [WorkerStatus()], now=now) == (
        "rendering cat.png: i2v 42 % (step 8/20), 14 queued, 1 to review; engine comfyui is up"
    )
    assert rendering("cat.png", Live(stage="upscale", engine="e")) == "cat.png: upscale 0 %"
    assert summary({}, [WorkerStatus(up=False)]) == "idle; engine comfyui is down"
    full = Reason("engine-disk-full", "Its disk is full.", "Free some space.")
    found = summary({}, [WorkerStatus(up=False, reason=full)])
    assert found == "idle; engine comfyui is down: Its disk is full"
    shared = [WorkerStatus(others=1)]
    assert summary({}, shared) == "idle; engine comfyui is up with 1 prompt of other clients"
    assert summary({}, []) == "idle"
    reason = Reason("unwritable", "The outbox cannot be written.", "Let the service write there.")
    assert summary({}, [WorkerStatus()], kept={"a": reason, "b": reason}) == (
        "idle; engine comfyui is up; 2 jobs wait: The outbox cannot be written"
    )
    assert summary(counts, [], Reason("x", "The disk is full.", "Free some.")) == (
        "The disk is full. Free some."
    )


class Heard(Notifier):
    """Writes down what systemd would hear."""

    def __init__(self, watchdog=3.0):
        super().__init__(watchdog=watchdog)
        self.lines = []

    def send(self, *lines):
        self.lines += lines
        return True


@pytest.fixture
async def parts(tmp_path):
    parts = await make_parts(tmp_path)
    ledger = parts.ledger
    yield parts
    await ledger.close()


class Clock:
    def __init__(self):

        self.now = time.monotonic()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def test_a_service_that_moves_gives_a_sign_of_life_and_says_changes_once(parts, clock):
    notifier = Heard()
    reporter = Reporter(notifier, parts, clock=clock)
    assert await reporter.once() == ""
    assert await reporter.once() == ""
    await parts.ledger.add(make_job(), claim="1")
    await reporter.once()
    assert notifier.lines == [
        "WATCHDOG=1",
        "STATUS=idle; engine comfyui is up",
        "WATCHDOG=1",
        "WATCHDOG=1",
        "STATUS=1 queued; engine comfyui is up",
    ]


async def test_a_watcher_that_stopped_gives_no_sign_of_life(parts, clock):
    notifier = Heard()
    parts.watcher.progress = clock.now - 100
    assert await Reporter(notifier, parts, clock=clock).once() == "watcher"
    assert notifier.lines == ["STATUS=the watcher makes no progress"]


async def test_a_long_look_through_the_inbox_is_work(parts, clock):
    parts.watcher.progress = clock.now - 100
    parts.watcher.status.scanning_seconds = 100.0
    assert await Reporter(Heard(), parts, clock=clock).once() == ""
    parts.watcher.progress = clock.now - SCAN_PATIENCE - 1
    assert await Reporter(Heard(), parts, clock=clock).once() == "watcher"


async def test_a_ledger_that_never_answers_gives_no_sign_of_life(parts, clock):
    class Stuck:
        last_progress = clock.now

        async def counts(self):
            await asyncio.Event().wait()

    parts.ledger = Stuck()
    # A watchdog that allows the event loop a longer pause than the ledger.
    notifier = Heard(watchdog=2 * LEDGER_PATIENCE)
    reporter = Reporter(notifier, parts, clock=clock, every=0.01)
    assert await reporter.once() == ""
    clock.now += LEDGER_PATIENCE + 1
    parts.watcher.progress = clock.now
    assert await reporter.once() == "ledger"


async def test_a_ledger_on_a_full_disk_is_said_and_not_restarted(parts, clock):
    class Full:
        last_progress = clock.now - 1000

        async def counts(self):
            raise DiskFull("The disk of the ledger is full.", "Free some space.")

    parts.ledger = Full()
    notifier = Heard()
    assert await Reporter(notifier, parts, clock=clock).once() == ""
    assert notifier.lines[-1] == "STATUS=The disk of the ledger is full. Free some space."


async def test_an_event_loop_that_was_held_up_for_too_long_gives_no_sign_of_life(parts, clock):
    reporter = Reporter(Heard(), parts, clock=clock)
    clock.now += 10
    parts.watcher.progress = clock.now
    assert await reporter.once() == "event loop"


async def test_while_the_ledger_cannot_be_opened_the_reason_is_the_status(parts):
    parts.ledger = parts.conductor = parts.watcher = None
    assert await sentence(parts) == "starting"
    parts.problem = Reason("ledger", "ledger.db is damaged.", "Restore a backup.")
    notifier = Heard()
    assert await Reporter(notifier, parts).once() == ""
    assert notifier.lines[-1] == "STATUS=ledger.db is damaged. Restore a backup."


async def test_the_reporter_reports_until_it_is_cancelled(parts):
    notifier = Heard()
    task = asyncio.create_task(Reporter(notifier, parts, every=0.001).run())
    async with asyncio.timeout(45):
        while notifier.lines.count("WATCHDOG=1") < 3:
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
