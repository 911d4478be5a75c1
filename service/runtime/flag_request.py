"""What the service asks for in launch flags, read as what a stranger may have written.

The service and ComfyUI are two users: this file is the only thing by which the first reaches the start of the second.
So nothing in it is believed: it is a small plain file of the service's own user, or it is ignored and named.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

SCHEMA = 1
MOST_BYTES = 16 << 10
MOST_ASKED = 16
MOST_WORDS = 4
MOST_REASON = 300
# Who asks, the strongest first: a fallback was learned from a failure, a budget is only worked out.
SOURCES = ("fallback", "budget")


class Asked(NamedTuple):
    """One flag with its values, who asks for it, and why."""

    by: str
    words: tuple[str, ...]
    reason: str


class Ignored(Exception):
    """The file is not what the service would have written; the message says why."""


def read(path: str, owner: str) -> list[Asked]:
    """Read what is asked for, the strongest first; nothing where there is no file."""
    try:
        content = _content(path, _uid(owner))
    except FileNotFoundError:
        return []
    except OSError as error:
        # O_NOFOLLOW: this is what a link at the file's own name is.
        why = "it is a link" if Path(path).is_symlink() else f"it cannot be read ({error.strerror})"
        raise Ignored(why) from error
    try:
        found = _asked(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise Ignored("it is no JSON") from error
    return sorted(found, key=lambda asked: SOURCES.index(asked.by))


def _uid(owner: str) -> int:
    """Give the number of a user by name or number; without either, our own."""
    if not owner:
        return os.getuid()
    if owner.isdecimal():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError as error:
        raise Ignored(f"this host has no user {owner}") from error


def _content(path: str, owner: int) -> bytes:
    # Not blocking: a pipe in its place would wait for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb", buffering=0) as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Ignored("it is no plain file")
        if found.st_uid != owner:
            raise Ignored(f"it belongs to the user {found.st_uid}, not to {owner}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Ignored("others than its owner may write it")
        if found.st_nlink != 1:
            raise Ignored("it has more than one name")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Ignored(f"it is larger than {MOST_BYTES} bytes")
    return content


def _asked(found: object) -> list[Asked]:
    if not isinstance(found, dict) or set(found) != {"schema", "asked"}:
        raise Ignored("it is no request for flags")
    if found["schema"] != SCHEMA or isinstance(found["schema"], bool):
        raise Ignored(f"its schema is not {SCHEMA}")
    listed = found["asked"]
    if not isinstance(listed, list) or len(listed) > MOST_ASKED:
        raise Ignored(f"it has no list of at most {MOST_ASKED} flags")
    return [_one(each) for each in listed]


def _one(found: object) -> Asked:
    if not isinstance(found, dict) or set(found) != {"by", "words", "reason"}:
        raise Ignored("one of its flags has other keys than by, words and reason")
    by, words, reason = found["by"], found["words"], found["reason"]
    if by not in SOURCES:
        raise Ignored(f"one of its flags is asked for by none of {', '.join(SOURCES)}")
    if not isinstance(words, list) or not 0 < len(words) <= MOST_WORDS:
        raise Ignored(f"one of its flags is no list of 1 to {MOST_WORDS} words")
    if not all(isinstance(word, str) and word.isascii() and word.isprintable() for word in words):
        raise Ignored("one of its flags has a word that is no plain text")
    # It is printed in the journal.
    if not isinstance(reason, str) or len(reason) > MOST_REASON or not reason.isprintable():
        raise Ignored("the reason of one of its flags is no short line of text")
    return Asked(by, tuple(words), reason)
