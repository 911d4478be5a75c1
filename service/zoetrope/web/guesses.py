"""Guesses at the token: how many each source has, and how long it waits after them.

A guess that has to wait is not compared with the token, so waiting cannot be told from being wrong. That would let
whoever guesses keep the owner out as well, so nobody waits for the guesses of others if that can be avoided: users
of this host are told apart, a source that knew the token does not wait because many others guess, and a browser
that is logged in sends no guess at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from .peer import Source

LOG = logging.getLogger(__name__)

OWN = 10  # wrong guesses that each source has
OWN_EVERY = 30.0  # seconds until it has another one
ALL = 100  # wrong guesses that all other hosts have together
ALL_EVERY = 3.0
SOURCES = 1024  # that are remembered
PROVEN = 256  # sources that are remembered because they knew the token
NAMED_EVERY = 600.0  # seconds between two lines about a guess that is repeated
LAST = 4  # wrong guesses of a source that cost nothing when they are repeated

WRONG = {"action": "wrong-token"}


class Allowance(msgspec.Struct, frozen=True):
    """How many guesses were left at a moment; they come back one by one."""

    most: int
    every: float
    left: float
    at: float


def left(allowance: Allowance, now: float) -> float:
    """Say how many guesses are left now."""
    return min(allowance.most, allowance.left + (now - allowance.at) / allowance.every)


def wait(allowance: Allowance, now: float) -> float:
    """Say in how many seconds there is a guess left."""
    return max(0.0, (1 - left(allowance, now)) * allowance.every)


def spent(allowance: Allowance, now: float) -> Allowance:
    """Take one guess away."""
    return msgspec.structs.replace(allowance, left=max(0.0, left(allowance, now) - 1), at=now)


class Wrong(msgspec.Struct, frozen=True):
    """The wrong guesses of one source, and the digests of the last of them."""

    allowance: Allowance
    last: tuple[bytes, ...] = ()
    named: float = 0.0  # when the log named the source last


class Guesses:
    """The guesses of all sources; bounded, whoever they are and however many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._own: dict[Source, Wrong] = {}  # who guessed longest ago is the first
        self._all = Allowance(ALL, ALL_EVERY, ALL, clock())
        self._proven: dict[Source, None] = {}

    def __len__(self) -> int:
        """How many sources are remembered because they were wrong."""
        return len(self._own)

    def wait(self, source: Source) -> float:
        """Say in how many seconds a guess of a source is looked at; 0 means now."""
        now = self._clock()
        own = wait(self._own[source].allowance, now) if source in self._own else 0.0
        if source.local or source in self._proven:
            return own
        return max(own, wait(self._all, now))

    def wrong(self, source: Source, guess: bytes) -> None:
        """Count a wrong guess; a program that repeats its outdated token pays for it once."""
        now = self._clock()
        # Of each source a kind of its own in the log, so that no crowd hides one of them.
        extra = {**WRONG, "source": source.name}
        before = self._own.pop(source, None) or Wrong(Allowance(OWN, OWN_EVERY, OWN, now))
        again = guess in before.last
        if not again or now >= before.named + NAMED_EVERY:
            LOG.warning("wrong token from %s", source.name, extra=extra)
            before = msgspec.structs.replace(before, named=now)
        if again:
            self._own[source] = before
            return
        own = spent(before.allowance, now)
        self._own[source] = Wrong(own, (*before.last, guess)[-LAST:], now)
        if not source.local:
            self._all = spent(self._all, now)
        self._forget(now)
        if seconds := wait(own, now):
            waits = "%s sent too many wrong tokens; the next one is looked at in %.0f s"
            LOG.warning(waits, source.name, seconds, extra=extra)

    def right(self, source: Source) -> None:
        """Note that a source knows the token."""
        self._proven.pop(source, None)
        self._proven[source] = None
        if len(self._proven) > PROVEN:
            del self._proven[next(iter(self._proven))]

    def _forget(self, now: float) -> None:
        if len(self._own) <= SOURCES:
            return
        for source, wrong in list(self._own.items()):
            if left(wrong.allowance, now) >= OWN:
                del self._own[source]
        if len(self._own) > SOURCES:
            del self._own[next(iter(self._own))]
