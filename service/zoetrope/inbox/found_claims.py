"""What lies in the claim folders when the service starts: claims of an earlier run, and what others put there.

Where members of the share can make folders of their own there, a folder's type, name and owner are looked at;
none of them proves anything. So nothing follows from a claim but what follows from any dropped picture, and no
file is removed that the ledger does not know by its bytes.
"""

from __future__ import annotations

import os
import stat

import msgspec

from ..beneath import Beneath, Linked
from ..domain.job import is_job_id
from ..mounts import mount_id, read_table, type_of
from .entry import CLAIMED
from .ownership import ownerless


class FoundClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in the claim folders, by its path below the inbox."""

    claims: tuple[str, ...] = ()  # folders that are called like a claim, oldest first
    # Those of them that another user made, as far as their owners show it.
    foreign: frozenset[str] = frozenset()
    strangers: tuple[str, ...] = ()  # what is no claim


def find(tree: Beneath, *, uid: int) -> FoundClaims:
    """Look through the claim folder of the inbox, and through every folder of that name one level below."""
    table = read_table()
    found: list[tuple[int, str]] = []
    foreign: set[str] = set()
    strangers: list[str] = []
    for place, apart in _places(tree):
        owned = not ownerless(_kind(tree, place, table))
        for name, status in _entries(tree, place):
            path = f"{place}/{name}"
            if not (is_job_id(name) and stat.S_ISDIR(status.st_mode)):
                strangers.append(path)
                continue
            found.append((status.st_mtime_ns, path))
            if not apart or (owned and status.st_uid != uid):
                foreign.add(path)
    return FoundClaims(
        claims=tuple(path for _, path in sorted(found)),
        foreign=frozenset(foreign),
        strangers=tuple(sorted(strangers)),
    )


def _places(tree: Beneath) -> list[tuple[str, bool]]:
    """List the folders with a claim folder's name, and whether claims are made in them."""
    here = _mount(tree, "")
    places = [(CLAIMED, True)]
    for name, status in tree.entries(""):
        if stat.S_ISDIR(status.st_mode) and name != CLAIMED:
            # Only where a rename out of the folder is impossible is a claim made in it.
            places.append((f"{name}/{CLAIMED}", _mount(tree, name) != here))
    return places


def _mount(tree: Beneath, folder: str) -> tuple[str, int]:
    """Say on which mount and which device a folder lies: it takes both to know a border."""
    try:
        with tree.folder(folder) as at:
            return mount_id(at), os.fstat(at).st_dev
    except (OSError, Linked):
        return "", 0


def _kind(tree: Beneath, place: str, table: str) -> str:
    try:
        with tree.folder(place) as at:
            return type_of(at, table)
    except (OSError, Linked):
        return "unknown"


def _entries(tree: Beneath, place: str) -> list[tuple[str, os.stat_result]]:
    """List a folder that may be missing, or somebody else's."""
    try:
        return tree.entries(place)
    except (OSError, Linked):
        return []
