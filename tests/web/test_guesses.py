"""How many wrong tokens a source may send, and whom that keeps out."""

import io
import logging

import pytest

from zoetrope.logs import Stream
from zoetrope.web.guesses import (
    ALL,
    ALL_EVERY,
    NAMED_EVERY,
    OWN,
    OWN_EVERY,
    SOURCES,
    Guesses,
)
from zoetrope.web.peer import Source

HERE = Source("user 1000 of this host", local=True)
ELSEWHERE = Source("192.0.2.1")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guesses(clock):
    return Guesses(clock)


def guess(guesses, source, times, first=0):
    """Guess as long as that is looked at; gives how often it was."""
    seen = 0
    for number in range(first, first + times):
        if guesses.wait(source) == 0:
            guesses.wrong(source, b"%d" % number)
            seen += 1
    return seen


@pytest.mark.parametrize("source", [HERE, ELSEWHERE])
def test_a_source_waits_after_some_guesses_and_then_has_one_at_a_time(guesses, clock, source):
    assert guess(guesses, source, 1000) == OWN
    assert guesses.wait(source) == OWN_EVERY
    clock.now += OWN_EVERY
    assert guess(guesses, source, 1000, first=1000) == 1
    clock.now += OWN_EVERY * OWN * 2
    assert guess(guesses, source, 1000, first=2000) == OWN


def test_no_source_waits_for_the_guesses_of_another_one(guesses):
    guess(guesses, HERE, 1000)
    guess(guesses, ELSEWHERE, 1000)
    assert guesses.wait(Source("user 0 of this host", local=True)) == 0
    assert guesses.wait(Source("192.0.2.2")) == 0


def test_an_outdated_token_that_a_program_repeats_is_one_guess(guesses):
    for _ in range(1000):
        guesses.wrong(ELSEWHERE, b"outdated")
    assert guess(guesses, ELSEWHERE, 1000) == OWN - 1


def test_many_hosts_together_are_slowed_and_keep_out_no_one_who_knew_the_token(guesses, clock):
    owner, newcomer = Source("198.51.100.7"), Source("198.51.100.8")
    guesses.right(owner)
    seen = sum(guess(guesses, Source(f"203.0.113.{n}"), 5) for n in range(250))
    assert seen == ALL
    assert guesses.wait(owner) == 0
    assert guesses.wait(HERE) == 0
    assert guesses.wait(newcomer) == ALL_EVERY
    clock.now += ALL_EVERY
    assert guesses.wait(newcomer) == 0


def test_guesses_within_this_host_keep_out_no_other_host(guesses):
    for user in range(100):
        guess(guesses, Source(f"user {user} of this host", local=True), OWN)
    assert guesses.wait(ELSEWHERE) == 0


def test_what_is_remembered_is_bounded_and_who_waits_is_remembered_longest(guesses, clock):
    for number in range(SOURCES * 2):
        clock.now += OWN_EVERY / 4
        guesses.wrong(Source(f"source {number}", local=True), b"x")
        guesses.right(Source(f"source {number}"))
    assert len(guesses) <= SOURCES
    guess(guesses, HERE, OWN)
    for number in range(SOURCES - 1):
        guesses.wrong(Source(f"another {number}", local=True), b"x")
    assert guesses.wait(HERE) > 0


def test_each_wrong_token_is_a_line_with_its_source_and_without_the_token(guesses, caplog):
    guess(guesses, ELSEWHERE, OWN)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "wrong token from 192.0.2.1"
    assert lines[-1] == "192.0.2.1 sent too many wrong tokens; the next one is looked at in 30 s"
    assert {record.action for record in caplog.records} == {"wrong-token"}


def test_who_guesses_among_many_is_named_and_a_repeated_guess_fills_no_journal(guesses, clock):
    text = io.StringIO()
    log = logging.getLogger("zoetrope.web.guesses")
    handler = Stream(text, clock=clock)
    log.addHandler(handler)
    try:
        guess(guesses, HERE, OWN)
        for number in range(50):
            guess(guesses, Source(f"203.0.113.{number}"), 1)
        for _ in range(1000):
            guesses.wrong(ELSEWHERE, b"outdated")
        clock.now += NAMED_EVERY
        guesses.wrong(ELSEWHERE, b"outdated")
    finally:
        log.removeHandler(handler)
        handler.close()
    lines = text.getvalue().splitlines()
    for number in range(50):
        assert f"wrong token from 203.0.113.{number}" in lines
    assert lines.count(f"wrong token from {ELSEWHERE.name}") == 2
    assert len(lines) == OWN + 1 + 50 + 2
