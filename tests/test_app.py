"""How the whole service ends: once, within its time, whatever hangs."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.fakes.service import RECIPES
from zoetrope import app
from zoetrope.errors import LedgerError, ZoetropeError
from zoetrope.graphs.shelf import Recipes, load, of_host
from zoetrope.graphs.versions import Versions
from zoetrope.notifier import Notifier
from zoetrope.settings import parse
from zoetrope.store.sqlite.ledger import Ledger

CONFIG = """
inbox.path = "{0}/inbox"
outbox.path = "{0}/outbox"
state.path = "{0}/state"
web.listen = "127.0.0.1:0"
engines = [ {{ name = "e0", url = "http://127.0.0.1:9" }} ]
"""


@pytest.fixture
def config(tmp_path):
    """The settings file of a host with an inbox."""
    (tmp_path / "inbox").mkdir()
    file = tmp_path / "zoetrope.toml"
    file.write_text(CONFIG.format(tmp_path))
    return file


async def test_work_is_called_off_once_and_may_clean_up_in_peace(monkeypatch):
    monkeypatch.setattr(app, "STOP_SECONDS", 0.05)
    cleaning, cleaned, cancelled = asyncio.Event(), asyncio.Event(), []

    async def work():
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            cancelled.append(1)
            try:
                await cleaning.wait()
            except asyncio.CancelledError:
                cancelled.append(2)
                raise
            cleaned.set()
            raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert not await app.ended(task), "it says that it took too long"
    assert not await app.ended(task)
    cleaning.set()
    assert await app.ended(task)
    assert cleaned.is_set()
    assert cancelled == [1]


async def test_an_error_of_the_work_is_not_swallowed():
    async def work():
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            raise RuntimeError("surprise") from None

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="surprise"):
        await app.ended(task)


HANGING = """
import asyncio, time, sys
from pathlib import Path
from zoetrope import app
from zoetrope.inbox.watcher import Watcher
from zoetrope.settings import parse

app.STOP_SECONDS, app.LEAVE_SECONDS = 0.1, 1.0

def sleep():
    print("hangs", flush=True)
    time.sleep(600)

async def hang(self):
    await asyncio.to_thread(sleep)

Watcher.run = hang
text = Path(sys.argv[1]).read_text()
sys.exit(app.run(lambda: parse(text, "test.toml")))
"""


def test_a_thread_that_hangs_on_a_dead_share_does_not_hold_up_the_end(config):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"},
        text=True,
    )
    try:
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told
    assert "exiting without it" in told


SPENT = """
import sys, threading
from pathlib import Path
from zoetrope import app
from zoetrope.settings import parse

def refuse(thread):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
text = Path(sys.argv[1]).read_text()
sys.exit(app.run(lambda: parse(text, "test.toml")))
"""


def test_a_start_on_a_host_without_a_thread_left_says_so_and_leaves_it_to_the_next(config):
    done = subprocess.run(
        [sys.executable, "-c", SPENT, str(config)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no memory or processes left" in line


LATER = """
import sys, threading, time
from pathlib import Path
from zoetrope import app
from zoetrope.settings import parse

real = app.running_threads

def pool():
    made = real()
    start = threading.Thread.start

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    threading.Thread.start = refuse
    if "passes" in sys.argv:
        def give():
            time.sleep(0.5)
            threading.Thread.start = start
        made.submit(give)
    return made

app.running_threads = pool
from zoetrope.store import retry
retry.RETRY_SECONDS = 0.1
text = Path(sys.argv[1]).read_text()
sys.exit(app.run(lambda: parse(text, "test.toml")))
"""


@pytest.mark.parametrize(("words", "shows"), [(("passes",), "ready; "), ((), "no memory or")])
def test_no_thread_left_after_the_first_ones_is_waited_for_and_no_traceback_at_the_end(
    config, words, shows
):
    process = subprocess.Popen(
        [sys.executable, "-c", LATER, str(config), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"},
        text=True,
    )
    try:
        said = ""
        while shows not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said + rest
    assert "no memory or processes left" in said + rest
    assert "Traceback" not in said + rest


NO_FILES = """
import errno, sys
from pathlib import Path
from zoetrope import app
from zoetrope.settings import parse

def spent(*_):
    raise OSError(errno.EMFILE, "Too many open files", "health/checks/disk.py")

app.Server = spent
text = Path(sys.argv[1]).read_text()
sys.exit(app.run(lambda: parse(text, "test.toml")))
"""


def test_a_start_without_a_descriptor_left_says_so_and_leaves_it_to_the_next(config):
    done = subprocess.run(
        [sys.executable, "-c", NO_FILES, str(config)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no file descriptors left" in line


class Heard(Notifier):
    """Keeps what systemd would be told of the service's state."""

    def __init__(self):
        super().__init__()
        self.said = asyncio.Queue()

    def ready(self, sentence=""):
        self.said.put_nowait(sentence)


@pytest.mark.parametrize("question", ["open", "fact", "counts"])
async def test_a_ledger_that_does_not_answer_at_the_start_is_waited_for(
    tmp_path, config, monkeypatch, question
):
    monkeypatch.setattr("zoetrope.store.retry.RETRY_SECONDS", 0.01)
    real = getattr(Ledger, question)
    broken = [LedgerError("The ledger is busy.", "Close what reads it.")] * 2

    async def ask(*args):
        if broken:
            raise broken.pop()
        return await real(*args)

    monkeypatch.setattr(Ledger, question, ask)
    (tmp_path / "state").mkdir()
    notifier, stop = Heard(), asyncio.Event()
    service = app.App(parse(config.read_text(), "test.toml"), notifier)
    running = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(60):
        for _ in range(2):
            assert await notifier.said.get() == "The ledger is busy. Close what reads it."
        assert await notifier.said.get() == ""
    assert not broken
    stop.set()
    await running


async def test_work_that_is_cancelled_from_within_is_no_ordinary_stop(
    tmp_path, config, monkeypatch
):
    async def cancelled(*_):
        raise asyncio.CancelledError

    monkeypatch.setattr(Ledger, "open", cancelled)
    (tmp_path / "state").mkdir()
    service = app.App(parse(config.read_text(), "test.toml"), Heard())
    async with asyncio.timeout(60):
        with pytest.raises(ZoetropeError) as told:
            await service.run(asyncio.Event())
    assert told.value.reason.key == "work-cancelled"


async def test_what_an_earlier_part_still_removes_after_a_reload_is_no_version_of_a_new_job(
    config, monkeypatch
):
    """Its sweep runs on a thread, which a cancelled task leaves behind."""
    shelves: list[Recipes] = []
    first, asked, gate, over = [], threading.Event(), threading.Event(), threading.Event()
    forget = Versions.forget

    def late(self, unused):
        if first:
            return forget(self, unused)
        first.append(self)
        asked.set()
        assert gate.wait(60)
        gone = forget(self, unused)
        over.set()
        return gone

    def shelf(*args):
        shelves.append(of_host(*args))
        return shelves[-1]

    monkeypatch.setattr(Versions, "forget", late)
    monkeypatch.setattr(app, "of_host", shelf)
    text = config.read_text() + f'recipes.path = ["{RECIPES}"]\n'
    settings = parse(text, "test.toml")
    version = Versions(settings.recipe_versions).keep(load(RECIPES / "tiny"))
    changed = parse(text + "inbox.settle_seconds = 9\n", "test.toml")
    notifier, stop, again = Heard(), asyncio.Event(), asyncio.Event()
    service = app.App(settings, notifier, read=lambda: changed)
    running = asyncio.create_task(service.run(stop, again))
    async with asyncio.timeout(60):
        await notifier.said.get()
        assert await asyncio.to_thread(asked.wait, 60)
        again.set()
        await notifier.said.get()
        recipes = shelves[1]
        # A picture is accepted now: its job's row follows.
        assert await asyncio.to_thread(recipes.versions.keep, recipes.get("tiny")) == version
        gate.set()
        assert await asyncio.to_thread(over.wait, 60)
        stop.set()
        await running
    assert Versions(settings.recipe_versions).has(version)
