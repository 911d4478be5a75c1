"""The host's own trouble: what an error of the operating system says of disk, share, folder or limits.

Such an error is never a job's fault: the work that met it waits, says why, and goes on when it is over.
"""

from __future__ import annotations

import errno
import os
import pwd
import unicodedata
from pathlib import Path

import msgspec

from .errors import Reason


class _Case(msgspec.Struct, frozen=True):
    """What is said of one kind of error; `{place}` is the path, `{why}` the system's own word."""

    key: str
    sentence: str
    next_step: str


_FULL = _Case(
    "disk-full", "There is no room left for {place}.", "Free some space; it goes on by itself."
)
_CLOSED = _Case(
    "unwritable",
    "{place} cannot be written ({why}).",
    "Let the service's user write there; it goes on by itself.",
)
_MISSING = _Case(
    "missing",
    "{place} is missing ({why}).",
    "Put it back, or mount what holds it; it goes on by itself.",
)
_LINK = _Case(
    "link",
    "{place} is or holds a link, and links are never followed ({why}).",
    "Put a plain folder in its place; it goes on by itself.",
)
_TAKEN = _Case(
    "in-the-way",
    "Something else lies at {place} ({why}).",
    "Move it away; it goes on by itself.",
)
_SPENT = _Case(
    "files-spent",
    "The service has no file descriptors left ({why}).",
    "Raise LimitNOFILE of the unit, or end what holds so many connections; it goes on by itself.",
)
_MEMORY = _Case(
    "memory-spent",
    "The host has no memory or processes left ({why}).",
    "End what takes them, or raise the unit's limits; it goes on by itself.",
)
_DEVICE = _Case(
    "disk-error",
    "The disk or share under {place} reports an error ({why}).",
    "Check it with dmesg, smartctl, the share's server; it goes on by itself.",
)

# Python's own words, and all that it says.
NO_THREAD = "can't start new thread"

_CASES: dict[int, _Case] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _CLOSED),
    errno.ENOENT: _MISSING,
    errno.ELOOP: _LINK,
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY), _TAKEN),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _SPENT),
    **dict.fromkeys((errno.ENOMEM, errno.EAGAIN), _MEMORY),
    **dict.fromkeys(
        (
            errno.EIO,
            errno.ENXIO,
            errno.ENODEV,
            errno.EBUSY,
            errno.ESTALE,
            errno.ETIMEDOUT,
            errno.EREMOTEIO,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.ENOTCONN,
            errno.EUCLEAN,
        ),
        _DEVICE,
    ),
}


def trouble(error: BaseException) -> Reason | None:
    """Say what an error means if it is the host's; None if it says something of the work itself."""
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return Reason(_MEMORY.key, _MEMORY.sentence.format(why=error), _MEMORY.next_step)
    if not isinstance(error, OSError) or (case := _CASES.get(error.errno or 0)) is None:
        return None
    place = shown(str(place_of(error) or "a file"))
    said = {"place": place, "why": error.strerror or str(error)}
    return Reason(case.key, case.sentence.format(**said), case.next_step)


def place_of(error: BaseException) -> Path | None:
    """Find the path that an error is about: of two, the one that was to be made."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) else None


def shown(name: str) -> str:
    """Turn a name from the file system into text that any encoder takes and no log line breaks on."""
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(
        "\ufffd" if unicodedata.category(letter) == "Cc" else letter for letter in readable
    )


def user_name(uid: int) -> str:
    """Name a user of this host; one that has no name here is named by its number."""
    try:
        return shown(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"user {uid}"
