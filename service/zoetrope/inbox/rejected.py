"""Rejected pictures as retention sees them: each goes together with its reason and its ticket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..jobs.keep import KeptKind, KeptThing
from .entry import REFUSED, WHY, classify, ticket_names
from .refusal import is_ours

# A reason's own name is cut where the picture's is as long as names can be.
_LONG = 255 - len(WHY)
_NUMBER = re.compile(r" \(\d+\)$")


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What goes together: the files of one stem that a reason was written for, the reasons last."""

    name: str  # of the first reason, below the folder that holds `rejected`
    paths: tuple[str, ...]


def grouped(files: Iterable[str]) -> tuple[Group, ...]:
    """Sort the files of `rejected` into groups; a file that no reason is about belongs to a person."""
    folders: dict[str, list[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name)
    groups: list[Group] = []
    for folder, names in folders.items():
        groups += _groups(f"{folder}/" if folder else "", names)
    return tuple(sorted(groups, key=lambda group: group.name))


def _groups(folder: str, names: list[str]) -> list[Group]:
    there = set(names)
    reasons: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.endswith(WHY):
            reasons.setdefault(_stem(_picture(name)), []).append(name)
    # Halves of a pair have one reason between them, under the first one's name.
    halves: dict[str, list[str]] = {}
    for name in names:
        if classify(name).half and not name.endswith(WHY):
            halves.setdefault(_stem(name), []).append(name)
    groups = []
    for stem, whys in reasons.items():
        pictures = [_picture(why) for why in whys]
        wanted = {
            *pictures,
            *(why.removesuffix(WHY) for why in whys),
            *ticket_names(stem, "start"),
            *ticket_names(stem, "end"),
        }
        wanted |= set(halves.get(stem, ()))
        if cut := tuple(each for each in pictures if len(os.fsencode(each)) > _LONG - 4):
            wanted |= {name for name in names if name.startswith(cut)}
        files = sorted((wanted & there) - set(whys))
        paths = tuple(folder + name for name in (*files, *whys))
        groups.append(Group(name=folder + whys[0], paths=paths))
    return groups


def _picture(why: str) -> str:
    """Name the picture that a reason is about; where the reason's own name was taken, it has a number."""
    return _NUMBER.sub("", why.removesuffix(WHY))


def _stem(name: str) -> str:
    return classify(name).stem or name


class RejectedPictures:
    """The folders `rejected` of the inbox and of the outbox, where reasons go if the inbox is not ours to write in."""

    kind = KeptKind.REJECTED

    def __init__(self, *homes: Path) -> None:
        self._homes = homes

    async def clear(self) -> None:
        """Nothing is left half done here: each file goes at once, its reason last."""

    async def look(self, _: Callable[[str, str], int | None], /) -> list[KeptThing]:
        """Find every picture that was rejected."""
        return await asyncio.to_thread(self._look)

    async def remove(self, found: KeptThing) -> bool:
        """Remove a picture with all that goes with it, unless something of it changed meanwhile."""
        return await asyncio.to_thread(self._remove, found)

    def _look(self) -> list[KeptThing]:
        found: list[KeptThing] = []
        for home in self._homes:
            with Beneath(home) as tree, contextlib.suppress(FileNotFoundError):
                for group in grouped(tree.files(REFUSED)):
                    with contextlib.suppress(FileNotFoundError, Linked):
                        found.append(_found(tree, group))
        return found

    def _remove(self, found: KeptThing) -> bool:
        for home in self._homes:
            inside = f"{home}/{REFUSED}/"
            if not found.name.startswith(inside):
                continue
            folder = found.name.removeprefix(inside).rpartition("/")[0]
            above = f"{folder}/" if folder else ""
            with Beneath(home) as tree:
                names = [name for name, _ in tree.entries(f"{REFUSED}/{folder}".rstrip("/"))]
                for group in grouped(above + name for name in names):
                    if _found(tree, group) == found:
                        return _removed(tree, group)
        return False


def _found(tree: Beneath, group: Group) -> KeptThing:
    looks = [tree.stat(f"{REFUSED}/{path}") for path in group.paths]
    newest = max(look.st_mtime_ns for look in looks)
    return KeptThing(
        kind=KeptKind.REJECTED,
        name=tree.full(f"{REFUSED}/{group.name}"),
        mark=str(newest),
        since=newest / 1e9,
        size=sum(look.st_size for look in looks if stat.S_ISREG(look.st_mode)),
    )


def _removed(tree: Beneath, group: Group) -> bool:
    names = {_name(path) for path in group.paths}
    names |= {_picture(name) for name in names if name.endswith(WHY)}
    whys = [f"{REFUSED}/{path}" for path in group.paths if path.endswith(WHY)]
    if not any(is_ours(tree, why, name) for why in whys for name in names):
        return False  # somebody else's
    reasons = {
        path: tree.stat(f"{REFUSED}/{path}").st_ino for path in group.paths if path.endswith(WHY)
    }
    for path in group.paths:
        place = f"{REFUSED}/{path}"
        with contextlib.suppress(FileNotFoundError):
            # A picture of the same name that was rejected just now has a reason of its own.
            if path not in reasons or tree.stat(place).st_ino == reasons[path]:
                tree.unlink(place)
    return True


def _name(path: str) -> str:
    return path.rpartition("/")[2]
