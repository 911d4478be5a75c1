"""The reason next to a rejected picture: a text file, for people who see only the share. Nothing else writes it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from typing import Literal, get_args

import msgspec

from ..beneath import Beneath, Linked
from ..durable import flush
from ..errors import Reason
from ..file_names import NAME_BYTES, cut, fitted, split
from ..host import shown
from .entry import ELSEWHERE, WHY, classify, joined

_ENDS = 24  # bytes for what says which half a file is, and for its suffix
_MOST_BYTES = 64 * 1024  # of a reason; what is longer is not ours
# Where a reason says that it is about a job.
_JOB = re.compile(r"^Where: job ([0-9a-f]{8})(?:, stage |$)", re.MULTILINE)
Ending = Literal["was rejected", "failed", "was cancelled", "was declined"]
# How a reason begins, after the picture's name; the last two are those of an earlier version.
_BEGINNINGS = (
    *(f" {ending}." for ending in get_args(Ending)),
    " was not taken.",
    " did not become a video.",
)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has to know of a picture that became no video."""

    name: str  # of the picture, where it lies now
    reason: Reason | None
    where: str  # what it is about: the path in the inbox, or the job
    others: tuple[str, ...] = ()  # the files that lie there with it
    folder: str = ""  # of the inbox, to move it back to
    moved: bool = True  # false when the file stayed in the inbox
    ending: Ending = "was rejected"  # what became of it
    job: str = ""  # the short id of a job that can go on; "" when there is none


def text(refusal: Refusal) -> str:
    """Say what is wrong, where, and what to do."""
    name = shown(refusal.name)
    lines = [f"{name} {refusal.ending}.", ""]
    if refusal.reason is not None:
        lines.append(f"What is wrong: {refusal.reason.sentence}")
    lines.append(f"Where: {shown(refusal.where)}")
    if refusal.reason is not None and refusal.reason.next_step:
        lines.append(f"What to do: {refusal.reason.next_step}")
    lines += ["", *_again(refusal)]
    return "\n".join(lines) + "\n"


def _again(refusal: Refusal) -> list[str]:
    """Say how to try again."""
    if not refusal.moved:
        return ["The file is still where you put it. To try again, change it or `touch` it."]
    names = ", ".join(shown(name) for name in (refusal.name, *sorted(refusal.others)))
    if refusal.folder and refusal.reason is not None and refusal.reason.next_step == ELSEWHERE:
        return [f"To try again, move it there, and not back into {shown(refusal.folder)}: {names}"]
    place = f"the folder {shown(refusal.folder)} of the inbox" if refusal.folder else "the inbox"
    lines = [f"To try again, move it back into {place}: {names}"]
    if refusal.job:
        lines.append(
            f"Or go on from where it stopped, while its work is kept: zoetrope retry {refusal.job}"
        )
    return lines


def explain(tree: Beneath, folder: str, refusal: Refusal) -> str:
    """Write a picture's reason next to it and give its path; only an earlier reason of ours is replaced."""
    content = text(refusal).encode()
    places = _places(folder, refusal.name)
    while tree.exists(path := next(places)):
        if is_ours(tree, path, refusal.name):
            tree.write(path, content)
            return path
    while True:
        # A file that somebody made since is theirs; the next number is tried.
        with contextlib.suppress(FileExistsError):
            with open(tree.create(path), "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
                flush(file)
            return path
        path = next(places)


def withdraw(tree: Beneath, folder: str, name: str) -> None:
    """Remove the reason that an earlier try left, which would mislead now; a person's own file stays."""
    with contextlib.suppress(OSError, Linked):
        path = joined(folder, reason_name(name))
        if not tree.exists(joined(folder, name)) and is_ours(tree, path, name):
            tree.unlink(path)


def reason_name(name: str) -> str:
    """Name a picture's reason; a long name is cut, so that any file system takes it."""
    return fitted(name, WHY)


def free_names(tree: Beneath, folder: str, names: Sequence[str]) -> list[str]:
    """Find names that are not taken for files that belong together: if one needs a number, all get the same.

    A picture finds its ticket by its stem, and its other half as well.
    """
    number = 1
    while True:
        found = [renamed(name, f" ({number})" if number > 1 else "") for name in names]
        if not any(tree.exists(joined(folder, name)) for name in found):
            return found
        number += 1


def renamed(name: str, more: str) -> str:
    """Put something behind a file's stem: before its suffix, and before what says which half it is."""
    base, suffix = split(name)
    half = base[-len(half) - 1 :] if (half := classify(name).half) else ""
    stem = base.removesuffix(half)
    # Cut alike for all files of a stem, whatever their ends.
    if more and len(os.fsencode(stem)) > (room := NAME_BYTES - len(os.fsencode(more)) - _ENDS):
        stem = cut(stem, room)
    return fitted(stem, f"{more}{half}{suffix}")


def is_ours(tree: Beneath, path: str, name: str) -> bool:
    """Return whether a file is a reason that the service wrote for a picture of this name."""
    return subject(tree, path) == shown(name)


def reason_of(tree: Beneath, folder: str, name: str, job: str) -> str:
    """Find the reason of ours that says why a job with such a picture failed; "" if there is none."""
    for path in takewhile(tree.exists, _places(folder, name)):
        if is_ours(tree, path, name) and _job(tree, path) == job:
            return path
    return ""


def _places(folder: str, name: str) -> Iterator[str]:
    """Give the paths that a picture's reason may have, without end: where one is taken, the next has a number."""
    reason = reason_name(name)
    yield joined(folder, reason)
    for number in count(2):
        yield joined(folder, fitted(reason.removesuffix(WHY), f" ({number}){WHY}"))


def _job(tree: Beneath, path: str) -> str:
    with contextlib.suppress(OSError, Linked):
        said = _JOB.search(tree.read(path, _MOST_BYTES, alone=True).decode("utf-8", "replace"))
        return said[1] if said else ""
    return ""


def subject(tree: Beneath, path: str) -> str | None:
    """Say which picture a reason is about, by its shown name; None for a file that is no reason of ours."""
    try:
        content = tree.read(path, _MOST_BYTES + 1, alone=True)
    except (OSError, Linked):
        return None
    first, _, _ = content.decode("utf-8", "replace").partition("\n")
    end = next((end for end in _BEGINNINGS if first.endswith(end)), None)
    return None if end is None or len(content) > _MOST_BYTES else first.removesuffix(end)
