"""Log lines: what repeats is held back, counted, and told."""

import asyncio
import io
import logging
import os
import socket
import subprocess
import sys
import weakref

import pytest

from zoetrope import logs
from zoetrope.logs import MOST, WINDOW, Stream, set_up


class Later:
    """Calls that are still to come; they come when a test says so."""

    def __init__(self):
        self.calls = []

    def __call__(self, seconds, call):
        handle = Handle(seconds, call)
        self.calls.append(handle)
        return handle

    def come(self):
        due, self.calls = [each for each in self.calls if not each.cancelled], []
        for each in due:
            each.call()


class Handle:
    def __init__(self, seconds, call):
        self.seconds, self.call, self.cancelled = seconds, call, False

    def cancel(self):
        self.cancelled = True


class Journal:
    """A logger of its own with the handler of the service, and a clock in hand."""

    def __init__(self):
        self.now = 1000.0
        self.later = Later()
        self.text = io.StringIO()
        self.handler = Stream(self.text, clock=lambda: self.now, later=self.later)
        self.handler.setFormatter(logs.Lines())
        self.log = logging.Logger("tests.logs")
        self.log.addHandler(self.handler)

    def lines(self):
        return self.text.getvalue().splitlines()

    def pass_time(self, seconds):
        self.now += seconds
        self.later.come()


@pytest.fixture
def journal():
    return Journal()


def fail(journal, message, *args, **extra):
    try:
        os.open("/", os.O_RDWR)
    except OSError:
        journal.log.exception(message, *args, extra=extra)


def test_the_same_traceback_again_and_again_is_told_a_few_times_and_then_counted(journal):
    for number in range(50_000):
        fail(journal, "GET %s failed", f"/api/v1/jobs/{number}")
    assert journal.text.getvalue().count("Traceback") == MOST
    journal.pass_time(WINDOW)
    last = journal.lines()[-1]
    assert last == (
        f"{50_000 - MOST} more like this in 60 s, the last one: GET /api/v1/jobs/49999 failed"
        " (IsADirectoryError: [Errno 21] Is a directory: '/')"
    )


def test_after_the_time_it_is_told_again(journal):
    for _ in range(MOST + 5):
        journal.log.warning("the inbox cannot be read")
    journal.pass_time(WINDOW)
    journal.log.warning("the inbox cannot be read")
    assert len(journal.lines()) == MOST + 2
    assert journal.lines()[-1] == "the inbox cannot be read"


def test_what_was_held_back_is_told_before_what_comes_next_where_no_call_came(journal):
    for _ in range(MOST + 5):
        journal.log.warning("the inbox cannot be read")
    journal.now += WINDOW  # a thread that could not be started
    journal.log.warning("the inbox cannot be read")
    assert journal.lines()[-2].startswith("5 more like this in 60 s")


def test_nothing_is_lost_at_the_end(journal):
    for _ in range(MOST + 5):
        journal.log.error("no room", extra={"job": "ab12cd34", "action": "disk"})
    journal.handler.close()
    last = journal.lines()[-1]
    assert last == "5 more like this in 0 s, the last one: no room job=ab12cd34 action=disk"
    assert all(each.cancelled for each in journal.later.calls)


def test_no_call_is_left_where_nothing_was_held_back(journal):
    for _ in range(MOST):
        journal.log.warning("the inbox cannot be read")
    assert journal.later.calls == []


def test_what_is_held_back_keeps_no_files_open(journal):
    class File:
        pass

    def work_that_fails(kept):
        file = File()
        kept.append(weakref.ref(file))
        os.open("/", os.O_RDWR)

    kept = []
    for _ in range(MOST + 1):
        try:
            work_that_fails(kept)
        except OSError:
            journal.log.exception("it failed")
    assert [each() for each in kept] == [None] * (MOST + 1)


def test_a_sentence_that_cannot_be_put_together_is_no_error_of_the_caller(journal, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    for _ in range(MOST + 1):
        journal.log.warning("%d of %d", "no number")


def test_other_jobs_other_words_and_other_errors_are_told_as_well(journal):
    for _ in range(MOST + 1):
        journal.log.warning("%s", "broken", extra={"job": "one", "action": "stage"})
    assert len(journal.lines()) == MOST
    journal.log.warning("%s", "broken", extra={"job": "two", "action": "stage"})
    journal.log.warning("%s", "broken", extra={"job": "one", "action": "publish"})
    journal.log.warning("%s again", "broken", extra={"job": "one", "action": "stage"})
    fail(journal, "%s", "broken", job="one", action="stage")
    assert journal.text.getvalue().count("broken") == MOST + 4


def test_words_that_differ_in_numbers_alone_are_the_same(journal):
    # asyncio writes whole sentences with addresses and task numbers in them.
    for number in range(MOST + 7):
        journal.log.error(
            f"Task exception was never retrieved\nfuture: <Task finished name='Task-{number}'>"
        )
    assert len(journal.lines()) == MOST
    journal.pass_time(WINDOW)
    assert journal.lines()[-1].startswith("7 more like this")


def test_what_is_not_about_trouble_is_told_in_full(journal):
    for _ in range(200):
        journal.log.info("done: cat")
    assert len(journal.lines()) == 200


def test_a_flood_of_different_sentences_takes_no_room_for_ever(journal):
    for number in range(5000):
        journal.log.warning("sentence %s" + "x" * number, number)
        journal.now += 1
    assert len(journal.handler.repeats) <= 2 * WINDOW


@pytest.fixture
def root():
    logger = logging.getLogger()
    before = (logger.handlers[:], logger.level, logging.getLogger("zoetrope").level)
    yield logger
    for handler in logger.handlers:
        if handler not in before[0]:
            handler.close()
    logger.handlers[:] = before[0]
    logger.setLevel(before[1])
    logging.getLogger("zoetrope").setLevel(before[2])


async def test_an_accept_that_finds_no_descriptor_does_not_fill_the_journal(root, monkeypatch):
    text = io.StringIO()
    set_up(text)
    tried = asyncio.Event()
    calls = 0

    def accept(self):
        nonlocal calls
        calls += 1
        tried.set()
        raise OSError(24, "Too many open files")

    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, backlog=100)
    monkeypatch.setattr(socket.socket, "accept", accept)
    with socket.create_connection(server.sockets[0].getsockname()):
        await tried.wait()
        await asyncio.sleep(0)
    server.close()
    assert calls > MOST  # asyncio tries as often as its backlog says, with a traceback each
    assert text.getvalue().count("out of system resource") == MOST
    root.handlers[0].close()
    assert f"{calls - MOST} more like this" in text.getvalue()


def test_warnings_of_libraries_are_limited_like_everything_else():
    """A library warns of what a stranger sends, as long as he likes."""
    code = (
        "import warnings\n"
        "from zoetrope.logs import set_up\n"
        "set_up()\n"
        "warnings.simplefilter('always')\n"
        "for n in range(1000): warnings.warn(f'odd {n} ' + 'A' * 100)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < done.stderr.count("odd ") <= MOST + 2
