"""Every error that users can meet: a key, one sentence, and what to do next."""

from __future__ import annotations

import errno
from typing import ClassVar

import msgspec


class Reason(msgspec.Struct, frozen=True):
    """Why something is as it is, in words that a user can act on."""

    key: str
    sentence: str
    next_step: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} {self.next_step}".rstrip()


class ZoetropeError(Exception):
    """The root of all errors that zoetrope raises on purpose."""

    key: ClassVar[str] = "error"

    def __init__(self, sentence: str, next_step: str = "", *, key: str | None = None) -> None:
        super().__init__(sentence)
        self.reason = Reason(key or type(self).key, sentence, next_step)

    def __str__(self) -> str:
        return str(self.reason)


class SettingsError(ZoetropeError):
    """The settings file says something that cannot be."""

    key = "settings"


class Rejected(ZoetropeError):
    """The picture, its ticket or the graph made from them is rejected; a retry needs a change by the user."""

    key = "rejected"


class NotReadable(ZoetropeError):
    """A file is there but cannot be read yet; it stays where it is."""

    key = "not-readable"


class IllegalTransition(ZoetropeError):
    """A job was asked to do what its state does not allow."""

    key = "illegal-transition"


class NotFound(ZoetropeError):
    """Nothing has that name."""

    key = "not-found"


class LedgerError(ZoetropeError):
    """The ledger cannot be used."""

    key = "ledger"


class RecipeError(ZoetropeError):
    """A recipe's own files are wrong; its author has to fix them."""

    key = "recipe"


class EngineDown(ZoetropeError):
    """The engine does not answer; nothing is known about the prompt."""

    key = "engine-down"


class EngineGone(EngineDown):
    """Nothing listens at the engine's address: what answers there next is another process."""


class WrongAnswer(EngineDown):
    """The engine's address answers, but not as an engine does; nothing is known about the prompt."""

    key = "wrong-answer"


class EngineRefused(ZoetropeError):
    """The engine answered and said no to this graph or request."""

    key = "engine-refused"


class NotGiven(ZoetropeError):
    """The engine has a file and fails to give it now; what it made is not lost."""

    key = "not-given"


class OutputVanished(ZoetropeError):
    """The engine named a file that it does not give."""

    key = "output-vanished"


class Oversized(ZoetropeError):
    """The engine's file is larger than anything that was asked for can be."""

    key = "oversized"


class DiskFull(ZoetropeError):
    """There is no room left; the queue waits, no job fails for it."""

    key = "disk-full"


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, however wrapped, means that a disk or quota is full."""
    if isinstance(error, DiskFull):
        return True
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # SQLite reports a full disk as its own error class, with these words (SQLITE_FULL).
    return "database or disk is full" in str(error)
