"""What a path in the inbox is, told from its name alone: a picture, a ticket, or nothing for us."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

import msgspec

from ..file_names import split

CLAIMED = ".zoetrope"
REFUSED = "rejected"
DEFAULTS = "ticket.toml"
WHY = ".why.txt"
# What to do with a picture whose folder is no recipe's.
ELSEWHERE = "Move the picture into a recipe's folder, or into the inbox itself."

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
    if parts[0] in (CLAIMED, REFUSED) or any(is_foreign(part) for part in parts):
        return Entry(path, EntryKind.IGNORED)
    base, suffix = split(name)
    suffix = suffix.lower()
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
    """Return whether the name of a file or folder says that it, and what is in it, is not meant for us."""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in _FOREIGN


def joined(folder: str, name: str) -> str:
    """Give a name's path below the inbox; "" is the inbox itself."""
    return f"{folder}/{name}" if folder else name


def rejected_from(folder: str) -> str:
    """Name the folder where pictures of one folder of the inbox go when they are rejected."""
    return f"{REFUSED}/{folder}" if folder else REFUSED


def key_of(entry: Entry) -> tuple[str, str]:
    """Say what belongs to one picture: one folder and stem, in whichever way a system writes its accents."""
    return entry.folder, unicodedata.normalize("NFC", entry.stem)


def ticket_names(stem: str, half: str = "") -> list[str]:
    """List the names that a picture's own ticket can have; the first that exists says most."""
    stems = [stem, f"{stem}.{half}"] if half else [stem]
    return [f"{each}{suffix}" for each in stems for suffix in (".toml", ".txt")]
