"""Names of files and folders made from texts of people: fit for every share, and never too long to be added to.

A stem is cut here, before any work begins: a name that turned out too long when the video is published would
cost the whole video.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

from .host import shown

# What a file's name may have on any file system.
NAME_BYTES = 255
# Of a stem: what is left has room for the longest that is ever added, an id of 32, a number, a suffix, and the
# end of a reason's name.
STEM_BYTES = 192

# How the outbox calls a job's folder: a stem, then the short id, or the whole one and perhaps a number.
_JOB_FOLDER = re.compile(r"[^.].*-(?:[0-9a-f]{8}|[0-9a-f]{32}(?:-\d)?)", re.DOTALL)

# Control characters, what shares with Windows forbid, and marks that turn the writing direction around.
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd<>:"/\\\\|?*]')

# Windows opens a device of its own by these names, whatever ending they have, and no file.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE
)


def safe_stem(stem: str) -> str:
    """Make a stem that is fit for file names on every share and short enough to be added to."""
    text = unicodedata.normalize("NFC", _UNSAFE.sub("_", shown(stem)))
    if _DEVICE.fullmatch(bare := text.strip(" .")):
        text = f"_{bare}"
    if len(text.encode("utf-8")) > STEM_BYTES:
        # Names that only begin alike stay apart: halves of a pair find each other by their stem.
        mark = f"~{hashlib.sha256(text.encode('utf-8')).hexdigest()[:6]}"
        text = cut(text, STEM_BYTES - len(mark)).rstrip(" .") + mark
    text = text.strip(" .")
    if text.startswith("-"):
        text = f"_{text[1:]}"
    return text or "picture"


def split(name: str) -> tuple[str, str]:
    """Take a file's suffix off its name, with its dot; one is short and has no spaces: "holiday 1.5 m" has none."""
    base, dot, suffix = name.rpartition(".")
    if not dot or not base or len(suffix) > 10 or not suffix.isalnum():
        return name, ""
    return base, f".{suffix}"


def cut(text: str, size: int) -> str:
    """Cut a text to a number of bytes without breaking a letter."""
    return text.encode("utf-8", "surrogateescape")[:size].decode("utf-8", "ignore")


def fitted(base: str, end: str) -> str:
    """Put an end to a name; a base that is too long for a file's name is cut."""
    most = NAME_BYTES - len(os.fsencode(end))
    return (base if len(os.fsencode(base)) <= most else cut(base, most)) + end


def is_job_folder(name: str) -> bool:
    """Return whether a folder is called as the outbox calls a job's; the service leaves all others alone."""
    return _JOB_FOLDER.fullmatch(name) is not None
