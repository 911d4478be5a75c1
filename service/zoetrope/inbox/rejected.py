"""Rejected pictures as retention sees them: each goes together with its reason and its ticket."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..file_names import NAME_BYTES
from ..host import shown
from ..jobs.keep import KeptKind, KeptThing
from .entry import REFUSED, WHY, classify, ticket_names
from .refusal import subject

# A reason's own name is cut where the picture's is as long as names can be.
_LONG = NAME_BYTES - len(WHY)
_NUMBER = re.compile(r" \(\d+\)\Z")


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What goes together: the files of one stem that a reason was written for, the reasons last."""

    name: str  # of the first reason, below the folder that holds `rejected`
    paths: tuple[str, ...]
    # Of the paths: pictures whose names were too long for a reason's, which alone says whether it is theirs.
    guessed: frozenset[str] = frozenset()


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
    long = sorted(name for name in names if len(os.fsencode(name)) > _LONG - 4)
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
        guessed = {
            name
            for picture in set(pictures)
            if len(os.fsencode(picture)) > _LONG - 4
            for name in _beginning_with(picture, long)
        } - wanted
        files = sorted(((wanted | guessed) & there) - set(whys))
        groups.append(
            Group(
                name=folder + whys[0],
                paths=tuple(folder + name for name in (*files, *whys)),
                guessed=frozenset(folder + name for name in guessed),
            )
        )
    return groups


def _beginning_with(start: str, names: list[str]) -> Iterator[str]:
    """List those of some sorted names that begin so."""
    for place in range(bisect_left(names, start), len(names)):
        if not names[place].startswith(start):
            return
        yield names[place]


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
        # As the last look found them: listing a folder anew for each picture that goes would take hours.
        self._groups: dict[str, tuple[Path, Group]] = {}
        # By name and mark: what turned out to have no reason of ours, and so has no end that could be told.
        self._foreign: set[tuple[str, str]] = set()

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
        groups: dict[str, tuple[Path, Group]] = {}
        for home in self._homes:
            with Beneath(home) as tree, contextlib.suppress(FileNotFoundError):
                for group in grouped(tree.files(REFUSED)):
                    with contextlib.suppress(FileNotFoundError, Linked):
                        seen = _found(tree, group)
                        groups[seen.name] = (home, group)
                        foreign = (seen.name, seen.mark) in self._foreign
                        found.append(msgspec.structs.replace(seen, held=foreign))
        self._groups = groups
        self._foreign &= {(each.name, each.mark) for each in found}
        return found

    def _remove(self, found: KeptThing) -> bool:
        home, group = self._groups.get(found.name, (None, None))
        if home is None or group is None:
            return False
        with Beneath(home) as tree, contextlib.suppress(FileNotFoundError):
            if _found(tree, group) == found:
                if _removed(tree, group):
                    return True
                self._foreign.add((found.name, found.mark))
        return False


def _found(tree: Beneath, group: Group) -> KeptThing:
    looks = [tree.stat(f"{REFUSED}/{path}") for path in group.paths]
    newest = max(look.st_mtime_ns for look in looks)
    # Each file counts: a picture that was moved into another's place brings its own, older time.
    marks = [
        (path, look.st_mtime_ns, look.st_size)
        for path, look in zip(group.paths, looks, strict=True)
    ]
    return KeptThing(
        kind=KeptKind.REJECTED,
        name=tree.full(f"{REFUSED}/{group.name}"),
        mark=hashlib.sha256(ascii(marks).encode()).hexdigest()[:16],
        since=newest / 1e9,
        size=sum(look.st_size for look in looks if stat.S_ISREG(look.st_mode)),
    )


def _removed(tree: Beneath, group: Group) -> bool:
    whys = [path for path in group.paths if path.endswith(WHY)]
    names = {_name(path) for path in group.paths} | {_picture(_name(why)) for why in whys}
    known = {shown(name) for name in names}
    said = {why: subject(tree, f"{REFUSED}/{why}") for why in whys}
    ours = [why for why in whys if said[why] in known and _by_us(tree, f"{REFUSED}/{why}")]
    if not ours:
        return False  # somebody else's
    about = {said[why] for why in ours}
    pictures = [
        path
        for path in group.paths
        if path not in said and (path not in group.guessed or shown(_name(path)) in about)
    ]
    reasons = {why: tree.stat(f"{REFUSED}/{why}").st_ino for why in ours}
    for path in (*pictures, *ours):
        place = f"{REFUSED}/{path}"
        with contextlib.suppress(FileNotFoundError):
            # A picture of the same name that was rejected just now has a reason of its own.
            if path not in reasons or tree.stat(place).st_ino == reasons[path]:
                tree.unlink(place)
    return True


def _by_us(tree: Beneath, path: str) -> bool:
    """Return whether a reason belongs to the service; anybody on the share can write one that reads alike.

    Where all files belong to the user that the mount names, so do the folders.
    """
    with tree.folder("") as at:
        owners = {os.geteuid(), os.fstat(at).st_uid, tree.stat(REFUSED).st_uid}
    return tree.stat(path).st_uid in owners


def _name(path: str) -> str:
    return path.rpartition("/")[2]
