"""Who owns the inbox and the folder of claims in it, and what follows: their modes, and whether members can get in.

A claim folder is trusted when nobody but the service can enter or replace it. That is said in health and in
the log, and decides nothing: a folder may be closed after something was put into it. Everywhere, a claimed file is
copied and hashed from one held descriptor, looked at again afterwards, and concerns its own job alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from typing import Literal

import msgspec

from ..beneath import Beneath, Linked
from ..errors import Reason, ZoetropeError
from ..host import shown, user_name
from ..mounts import read_table, type_of
from .entry import CLAIMED, joined

log = logging.getLogger("zoetrope.inbox")

_Marks = tuple[tuple[int, int, int, int], ...]
# What a file's owner is there, the mount's options say, or the server; a sticky bit binds nobody.
OWNERLESS = frozenset(
    {"cifs", "smb3", "smbfs", "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuse", "fuseblk"}
    | {"9p", "drvfs", "vboxsf", "prl_fs", "vmhgfs", "davfs"}
)
_SHARED = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_CLOSED = 0o700
_OPEN = 0o770  # with the setgid bit that it inherits

Flaw = Literal["", "another's", "replaceable", "sticky"]


class Folder(msgspec.Struct, frozen=True):
    """A folder's owner and mode."""

    owner: int
    mode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Folder:
        """Take them from a look at it."""
        return cls(found.st_uid, stat.S_IMODE(found.st_mode))


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How the inbox and its claim folder are to be."""

    inbox: int | None = None  # the mode that the inbox is to get; None leaves it alone
    claimed: int = _OPEN  # the mode that a new claim folder gets
    tighten: bool = False  # the claim folder is the service's own, and others can get in
    trusted: bool = False
    flaw: Flaw = ""  # what a person should fix, though pictures are taken


def ownerless(file_system: str) -> bool:
    """Tell whether a file's owner says nothing on a file system."""
    return file_system in OWNERLESS or file_system.startswith("fuse.")


def decide(inbox: Folder, claimed: Folder | None, *, uid: int, file_system: str) -> Terms:
    """Say how the folders are to be, from who owns them, on which file system, and how they are now."""
    if ownerless(file_system):
        return Terms()
    if inbox.owner != uid:
        # Somebody's home. With the sticky bit, only root could take pictures of others out of it.
        return Terms(flaw="sticky" if inbox.mode & stat.S_ISVTX and uid != 0 else "")
    shared = bool(inbox.mode & _SHARED)
    wanted = inbox.mode
    if shared:
        wanted |= stat.S_ISVTX | (stat.S_ISGID if inbox.mode & stat.S_IWGRP else 0)
    change = wanted if wanted != inbox.mode else None
    if claimed is not None and claimed.owner != uid:
        return Terms(inbox=change, claimed=_CLOSED, flaw="another's")
    wide = claimed is not None and bool(claimed.mode & _OTHERS)
    kept = not shared or bool(inbox.mode & stat.S_ISVTX)
    return Terms(
        inbox=change,
        claimed=_CLOSED,
        tighten=wide,
        trusted=kept and claimed is not None and not wide,
        flaw="" if kept else "replaceable",
    )


class Settled(msgspec.Struct, frozen=True):
    """What came of it: the terms as they are now, and what to tell people."""

    terms: Terms
    problem: Reason | None = None


class ClaimFolders:
    """The claim folders of one inbox, its own and those of mounts in it; seen to again when they change."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Marks, Settled]] = {}

    @property
    def problem(self) -> Reason | None:
        """What a person should fix, though pictures are taken."""
        return next((each.problem for _, each in list(self._known.values()) if each.problem), None)

    def prepare(self, tree: Beneath, folder: str = "") -> None:
        """See to the claim folder of the inbox, or of a mount in it; as long as it is the same, once is enough.

        Raises ZoetropeError when something keeps the service out, and an OSError when there can be none.
        """
        marks, known = _marks(tree, folder), self._known.get(folder)
        if known is not None and marks and known[0] == marks:
            return
        try:
            settled = settle(tree, folder, uid=os.geteuid(), table=read_table())
        except Linked as error:
            # Not one picture's matter: nothing can be claimed.
            reason = error.reason
            raise ZoetropeError(reason.sentence, reason.next_step, key=reason.key) from error
        if known is None or known[1] != settled:
            _tell(shown(tree.full(joined(folder, CLAIMED))), settled)
        self._known[folder] = (_marks(tree, folder), settled)


def settle(tree: Beneath, folder: str, *, uid: int, table: str) -> Settled:
    """Make a folder's claim folder if there is none, and give both the modes that they should have.

    Raises ZoetropeError when somebody else's claim folder keeps the service out, and an OSError or Linked
    when there can be none.
    """
    path = joined(folder, CLAIMED)
    place = shown(tree.full(path))
    with tree.folder(folder) as at:
        kind = type_of(at, table)
        terms = decide(Folder.of(os.fstat(at)), _look(tree, path), uid=uid, file_system=kind)
        if terms.inbox is not None:
            # A sandbox may forbid the setgid bit; then the operator's own rules have to give it.
            with contextlib.suppress(OSError):
                os.fchmod(at, terms.inbox)
        try:
            with tree.folder(path, make=terms.claimed) as claimed:
                if terms.tighten:
                    _tighten(claimed)
                found = Folder.of(os.fstat(claimed))
                usable = os.access(".", os.W_OK | os.X_OK, dir_fd=claimed, effective_ids=True)
        except PermissionError:
            there = _look(tree, path)
            if there is None or there.owner == uid:
                raise
            found, usable = there, False
        if found.owner != uid and not usable:
            raise _closed(place, found, uid)
        inbox = Folder.of(os.fstat(at))
        now = decide(inbox, found, uid=uid, file_system=kind)
    if now.flaw == "sticky":
        raise _sticky(shown(tree.full(folder)), inbox, uid)
    return Settled(now, _problem(now.flaw, shown(tree.full(folder)), place, found, uid))


def _marks(tree: Beneath, folder: str) -> _Marks:
    """Give the marks by which a folder and its claim folder are known again; none if there is none."""
    try:
        with tree.folder(folder) as at:
            found = (os.fstat(at), os.stat(CLAIMED, dir_fd=at, follow_symlinks=False))
    except (OSError, Linked):
        return ()
    return tuple((each.st_dev, each.st_ino, each.st_uid, each.st_mode) for each in found)


def _tell(place: str, settled: Settled) -> None:
    """Say in the log what a person should fix, or know."""
    if settled.problem is not None:
        log.warning("%s", settled.problem, extra={"action": settled.problem.key})
    elif not settled.terms.trusted:
        said = "other users can write into %s; each claim in it is checked before it is used"
        log.info(said, place, extra={"action": "claims-open"})


def _look(tree: Beneath, path: str) -> Folder | None:
    try:
        return Folder.of(tree.stat(path))
    except FileNotFoundError:
        return None


def _tighten(handle: int) -> None:
    """Close a folder of ours to others, and keep the setgid bit where a sandbox lets us."""
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    try:
        os.fchmod(handle, mode & ~_OTHERS)
    except PermissionError:
        os.fchmod(handle, _CLOSED)


def _closed(place: str, found: Folder, uid: int) -> ZoetropeError:
    owner = user_name(found.owner)
    return ZoetropeError(
        f"{place} belongs to {owner} (mode {found.mode:04o}) and is not open to the service"
        f" ({user_name(uid)}), so no picture can be claimed.",
        f"As {owner} or root, move it away: mv {place} {place.removesuffix(CLAIMED)}zoetrope.old;"
        " the service makes its own and goes on by itself.",
        key="claims-closed",
    )


def _sticky(place: str, found: Folder, uid: int) -> ZoetropeError:
    return ZoetropeError(
        f"{place} belongs to {user_name(found.owner)} and has the sticky bit (mode {found.mode:04o}), so the"
        f" service ({user_name(uid)}) cannot take other people's pictures out of it.",
        f"As {user_name(found.owner)} or root, remove the bit: chmod -t {place}; it goes on by itself.",
        key="inbox-sticky",
    )


def _problem(flaw: Flaw, inbox: str, place: str, found: Folder, uid: int) -> Reason | None:
    if flaw == "another's":
        return Reason(
            "claims-of-another",
            f"{place} belongs to {user_name(found.owner)}, who can remove pictures that were claimed.",
            f"Give it to the service: chown {user_name(uid)} {place} && chmod 0700 {place}",
        )
    if flaw == "replaceable":
        return Reason(
            "inbox-not-sticky",
            f"Whoever may write into {inbox} can replace {place} and other people's pictures.",
            f"Give it the sticky bit: chmod 3770 {inbox} (on NixOS: services.zoetrope.inbox.mode).",
        )
    return None
