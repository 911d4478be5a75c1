"""What a path in the inbox is, told from its name alone: a picture, a ticket, or nothing for us."""

from __future__ import annotations

import os
import re
import unicodedata
from enum import StrEnum

import msgspec

from ..host import shown

CLAIMED = ".zoetrope"
REFUSED = "rejected"
DEFAULTS = "ticket.toml"
WHY = ".why.txt"

# What a file's name may have on any file system.
NAME_BYTES = 255
# A claim folder's name must hold "<stem>-<job8>", and its video's "<stem>.mp4".
STEM_BYTES = NAME_BYTES - 9

_FOREIGN = frozenset(
    {
        "@eadir",
        "#recycle",
        "#snapshot",
        "__macosx",
        "$recycle.bin",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
_UNFINISHED = (".part", ".tmp", ".crdownload", ".partial", ".filepart", ".download")
_TICKETS = frozenset({".toml", ".txt"})
_HALF = re.compile(r"(?s)(.+)\.(start|end)", re.IGNORECASE)
# Control characters, what shares with Windows forbid, and marks that turn the writing direction around.
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd<>:"/\\\\|?*]')


class EntryKind(StrEnum):
    """What a path is to the inbox."""

    # Or what a person took for one: an unknown suffix is rejected with a reason.
    PICTURE = "picture"
    DEEP = "deep"  # a picture below more than one folder: no recipe can be told from that
    TICKET = "ticket"
    DEFAULTS = "defaults"  # a folder's ticket.toml: read, never claimed
    IGNORED = "ignored"


class Entry(msgspec.Struct, frozen=True):
    """A path relative to the inbox, taken apart; undecodable bytes are kept as surrogates."""

    path: str
    kind: EntryKind
    folder: str = ""  # "" or the folders above the file
    name: str = ""
    stem: str = ""  # without the suffix and without `.start` or `.end`
    suffix: str = ""  # lower case, with its dot
    half: str = ""  # "start" or "end" of a pair


def classify(path: str) -> Entry:
    """Say what a relative path is, from its name alone."""
    folder, _, name = path.rpartition("/")
    parts = path.split("/")
    if parts[0] in (CLAIMED, REFUSED) or any(_foreign(part) for part in parts):
        return Entry(path, EntryKind.IGNORED)
    base, suffix = _split(name)
    if suffix == ".md" or name.lower().endswith((WHY, *_UNFINISHED)):
        return Entry(path, EntryKind.IGNORED)
    if name == DEFAULTS:
        return Entry(path, EntryKind.DEFAULTS, folder, name, base, suffix)
    pair = _HALF.fullmatch(base)
    stem, half = (pair[1], pair[2].lower()) if pair else (base, "")
    if suffix in _TICKETS:
        return Entry(path, EntryKind.TICKET, folder, name, stem, suffix, half)
    kind = EntryKind.DEEP if len(parts) > 2 else EntryKind.PICTURE
    return Entry(path, kind, folder, name, stem, suffix, half)


def is_foreign(name: str) -> bool:
    """Return whether a folder's name says that nothing in it is meant for us."""
    return _foreign(name)


def ticket_names(stem: str, half: str = "") -> list[str]:
    """List the names that a picture's own ticket can have; the first that exists says most."""
    stems = [stem, f"{stem}.{half}"] if half else [stem]
    return [f"{each}{suffix}" for each in stems for suffix in (".toml", ".txt")]


def safe_stem(stem: str) -> str:
    """Make a stem that is fit for file names on every share and short enough to be added to."""
    text = unicodedata.normalize("NFC", _UNSAFE.sub("_", shown(stem)))
    text = cut(text, STEM_BYTES).strip(" .")
    if text.startswith("-"):
        text = f"_{text[1:]}"
    return text or "picture"


def cut(text: str, size: int) -> str:
    """Cut a text to a number of bytes without breaking a letter."""
    return text.encode("utf-8", "surrogateescape")[:size].decode("utf-8", "ignore")


def fitted(base: str, end: str) -> str:
    """Put an end to a name; a base that is too long for a file's name is cut."""
    most = NAME_BYTES - len(os.fsencode(end))
    return (base if len(os.fsencode(base)) <= most else cut(base, most)) + end


def _split(name: str) -> tuple[str, str]:
    base, dot, suffix = name.rpartition(".")
    # "holiday 1.5 m" has no suffix: one is short and has no spaces.
    if not dot or not base or len(suffix) > 10 or not suffix.isalnum():
        return name, ""
    return base, f".{suffix.lower()}"


def _foreign(part: str) -> bool:
    return part.startswith((".", "~$")) or part.endswith("~") or part.lower() in _FOREIGN
