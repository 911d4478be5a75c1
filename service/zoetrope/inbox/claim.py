"""Claims: a picture is ours from one atomic rename on, and its path alone says how to undo that."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from ..beneath import Beneath, Linked, Place
from ..errors import NotFound, NotReadable, Reason
from ..host import shown
from ..jobs.outbox_identity import OutboxIdentity
from ..transfer import carry, copy
from . import found_claims
from .entry import (
    CLAIMED,
    REFUSED,
    Entry,
    EntryKind,
    classify,
    joined,
    key_of,
    rejected_from,
    ticket_names,
)
from .ownership import ClaimFolders
from .refusal import Refusal, explain, free_names, withdraw

log = logging.getLogger("zoetrope.inbox")

# A fixed namespace makes a copied file's claim the same on every scan and after every restart.
COPIES = uuid.UUID("0c9a4a0e-8a1f-5f0e-b5a5-6a2f9f0d6c31")
_NAMED = 5  # strangers that are named in the log
# What is ever claimed; anything else in a claim folder is left where it is.
_CLAIMED_KINDS = frozenset({EntryKind.PICTURE, EntryKind.DEEP, EntryKind.TICKET})


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Files that belong together and are ours; paths are relative to the inbox."""

    id: str
    inbox: Path
    home: str = ""  # the folder that the paths are relative to, below the inbox; "" is the inbox
    pictures: tuple[str, ...]  # of a pair, the start comes first
    tickets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # of files that stay: the ids that the other pictures have alone
    moved: bool = True  # false when the files stay where they are
    foreign: bool = False  # found in a folder that the service did not make, as far as can be told
    # Device and number of the folder that holds it: another one tells nothing of it.
    within: tuple[int, int] = (0, 0)

    @property
    def root(self) -> Path:
        """The folder that the paths are relative to: the claim's own, or the inbox itself."""
        return self.inbox / self.home

    def at(self, path: str) -> str:
        """Say where a claimed file lies now, below the inbox."""
        return f"{self.home}/{path}" if self.home else path

    def place(self, path: str) -> Place:
        """Say where a claimed file is reached."""
        return Place(self.inbox, self.at(path))

    @property
    def one(self) -> bool:
        """Whether the pictures are one job's: a single one, or the two halves of a pair."""
        halves = [classify(path).half for path in self.pictures]
        return len(_keys(self.pictures)) == 1 and (len(halves) == 1 or halves == ["start", "end"])

    @property
    def folder(self) -> str:
        """The inbox folder that the files were dropped in."""
        return next(iter((*self.pictures, *self.tickets)), "").rpartition("/")[0]


class Claims:
    """The claim folders of one inbox; every method blocks on the file system and belongs on a thread."""

    def __init__(
        self,
        inbox: Path,
        *,
        move: bool = True,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        fallback: Path | None = None,
        outbox: OutboxIdentity | None = None,
    ) -> None:
        self._inbox = inbox
        self._move = move
        self._new_id = new_id
        # Where reasons go when the inbox is not ours to write in: a folder of the outbox.
        self._fallback = fallback if fallback is not None else inbox / REFUSED
        self._outbox = outbox
        self._refusing = threading.Lock()
        self._apart: set[str] = set()  # folders that are mounts of their own
        self._folders = ClaimFolders()
        # From before a claim's folder is made until its files went on: none of them was left by anybody.
        self._in_hand: set[str] = set()
        self._strangers: tuple[str, ...] = ()  # as they were named last

    @property
    def problem(self) -> Reason | None:
        """What a person should fix in the folders, though pictures are taken."""
        return self._folders.problem

    def prepare(self) -> None:
        """Make the folders that we need in the inbox; an OSError says that it cannot be written."""
        if self._move:
            with self._tree() as tree:
                self._folders.prepare(tree)
                # Only what is rejected needs this one.
                with contextlib.suppress(Linked):
                    tree.make(REFUSED)

    def _tree(self) -> Beneath:
        return Beneath(self._inbox)

    def take(
        self, pictures: tuple[str, ...], tickets: tuple[str, ...] = (), *, shared: bool = False
    ) -> Claim | None:
        """Claim files that belong together; None if a picture is gone.

        The first picture's rename is the commit point and comes last. A ticket that another picture of
        the same stem needs as well (`shared`) is copied instead of moved.
        """
        if not self._move:
            return self._stay(pictures, tickets)
        claim_id = self._new_id()
        self._in_hand.add(claim_id)
        claim = None
        try:
            claim = self._take(claim_id, pictures, tickets, shared)
        finally:
            if claim is None:
                self.forget(claim_id)
        return claim

    def forget(self, claim_id: str) -> None:
        """The work on a claim has ended: what is still in its folder counts as left."""
        self._in_hand.discard(claim_id)

    def _take(
        self, claim_id: str, pictures: tuple[str, ...], tickets: tuple[str, ...], shared: bool
    ) -> Claim | None:
        first = pictures[0].partition("/")[0]
        with self._tree() as tree:
            self._folders.prepare(tree)
            if first not in self._apart:
                try:
                    return self._rename(tree, f"{CLAIMED}/{claim_id}", pictures, tickets, shared)
                except OSError as error:
                    if error.errno != errno.EXDEV or "/" not in pictures[0]:
                        raise
                    # The folder is a mount of its own; what is claimed there has to stay on it.
                    self._apart.add(first)
            self._folders.prepare(tree, first)
            return self._rename(tree, f"{first}/{CLAIMED}/{claim_id}", pictures, tickets, shared)

    def take_named(self, path: str) -> Claim:
        """Claim one picture that somebody named, with its tickets; no link and no way out is followed."""
        entry = classify(path)
        plain = PurePosixPath(path).as_posix() == path and not path.startswith("/")
        if not plain or "\0" in path or entry.kind is not EntryKind.PICTURE:
            raise NotFound(
                f"{shown(path)[:200]!r} is not the path of a picture in the inbox.",
                "Give it relative to the inbox: cat.png, or FOLDER/cat.png.",
                key="picture-missing",
            )
        claim = None
        if self._lies_here(entry):
            names = ticket_names(entry.stem, entry.half)
            claim = self.take((path,), tuple(joined(entry.folder, name) for name in names))
        if claim is None:
            raise NotFound(
                f"There is no {shown(path)[:200]!r} in the inbox.",
                "It may have been taken already: `zoetrope jobs` lists what became of it.",
                key="picture-missing",
            )
        return claim

    def _lies_here(self, entry: Entry) -> bool:
        """Return whether a name leads to a file, and not through a link."""
        # A name that no file can have (too long, not to be encoded) leads nowhere.
        with contextlib.suppress(OSError, ValueError, Linked), self._tree() as tree:
            return stat.S_ISREG(tree.stat(entry.path).st_mode)
        return False

    def _rename(
        self,
        tree: Beneath,
        home: str,
        pictures: tuple[str, ...],
        tickets: tuple[str, ...],
        shared: bool,
    ) -> Claim | None:
        for folder in dict.fromkeys(path.rpartition("/")[0] for path in pictures):
            tree.make(f"{home}/{folder}" if folder else home)
        taken: list[str] = []
        within = tree.identity(home.rpartition("/")[0])
        try:
            for path in tickets:
                with contextlib.suppress(FileNotFoundError, Linked):
                    if shared:
                        copy(tree, path, tree, f"{home}/{path}")
                    else:
                        tree.rename(path, f"{home}/{path}")
                    taken.append(path)
            for path in reversed(pictures):
                tree.rename(path, f"{home}/{path}")
        except (FileNotFoundError, Linked):
            # What lies behind a link is not in the inbox.
            self._undo(tree, home)
            return None
        except (OSError, NotReadable):
            self._undo(tree, home)
            raise
        return Claim(
            id=_id_of(home),
            inbox=self._inbox,
            home=home,
            pictures=pictures,
            tickets=tuple(taken),
            within=within,
        )

    def pending(self) -> list[Claim]:
        """List the claims that lie there and are not being worked on, oldest first; the caller works on them from now on.

        One without a picture is incomplete.
        """
        if not self._move:
            return []
        with self._tree() as tree:
            left = found_claims.find(tree, uid=os.geteuid())
            homes = [home for home in left.claims if _id_of(home) not in self._in_hand]
            self._in_hand.update(_id_of(home) for home in homes)
            claims = [self._read(tree, home, home in left.foreign) for home in homes]
        if left.strangers and left.strangers != self._strangers:
            self._strangers = left.strangers
            log.warning(
                "%d entries next to the claims do not belong to the service and are left alone: %s",
                len(left.strangers),
                ", ".join(shown(path) for path in left.strangers[:_NAMED]),
                extra={"action": "strangers"},
            )
        return claims

    def put_back_unknown(self, claim: Claim, known: frozenset[str]) -> Claim:
        """Of a claim that an earlier run left, put back what is none of its job's files, by their hashes.

        Whoever can make folders where claims lie may have put a file there that is the only one of its kind.
        """
        with self._tree() as tree:
            strange = [p for p in claim.pictures if _hash(tree, claim.at(p)) not in known]
            if not strange:
                return claim
            pictures = tuple(path for path in claim.pictures if path not in strange)
            # A ticket of its own name alone would wait in the inbox for the next picture of that name.
            own = _keys(pictures) - _keys(strange)
            used = tuple(path for path in claim.tickets if _keys([path]) <= own)
            self._return(tree, claim.home, (*sorted({*claim.tickets} - {*used}), *strange))
        return msgspec.structs.replace(claim, pictures=pictures, tickets=used)

    def release(self, claim: Claim) -> None:
        """Let the originals go: the ledger and the work folder hold all that is needed."""
        if not claim.moved:
            return
        with contextlib.suppress(FileNotFoundError), self._tree() as tree:
            for path in (*claim.tickets, *claim.pictures):
                _unlink(tree, claim.at(path))
            for path in claim.pictures:
                folder, _, name = path.rpartition("/")
                withdraw(tree, rejected_from(folder), name)
            tree.prune(claim.home)
        self.forget(claim.id)

    def refuse(self, claim: Claim, reason: Reason) -> Path:
        """Move a claim's files where people find them, each picture with its reason; returns the first reason's file."""
        if not claim.moved:
            # Never made here: an outbox that is gone may be a share that is not mounted.
            home = self._fallback.parent
            with Beneath(home) as tree:
                if self._outbox is not None:
                    self._outbox.check(tree)
                target = "/".join(part for part in (self._fallback.name, claim.folder) if part)
                tree.make(target)
                return home / explain(tree, target, _refusal(claim, reason, claim.pictures))
        with self._tree() as tree:
            if not tree.is_folder(claim.home):
                # Gone with its share, perhaps: nothing may be made where the share was mounted.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(claim.root))
            target = rejected_from(claim.folder)
            tree.make(target)
            with self._refusing:
                why = self._carry(tree, claim, target, reason)
            tree.sync(target)
            tree.prune(claim.home)
        self.forget(claim.id)
        return self._inbox / why

    def put_back(self, claim: Claim) -> None:
        """Undo a claim: every file returns to the path that its own path tells."""
        if claim.moved:
            try:
                with self._tree() as tree:
                    self._undo(tree, claim.home)
            finally:
                self.forget(claim.id)

    def _stay(self, pictures: tuple[str, ...], tickets: tuple[str, ...]) -> Claim | None:
        try:
            with self._tree() as tree:
                found = [tree.stat(path) for path in pictures]
                root = tree.identity("")
                beside = tuple(path for path in tickets if tree.exists(path))
        except (FileNotFoundError, Linked):
            return None
        ids = [
            uuid.uuid5(
                COPIES, f"{os.fsencode(path).hex()} {status.st_size} {status.st_mtime_ns}"
            ).hex
            for path, status in zip(pictures, found, strict=True)
        ]
        return Claim(
            id=ids[0],
            others=tuple(ids[1:]),
            inbox=self._inbox,
            pictures=pictures,
            tickets=beside,
            moved=False,
            within=root,
        )

    def _read(self, tree: Beneath, home: str, foreign: bool) -> Claim:
        pictures: list[tuple[bool, str]] = []
        tickets: list[str] = []
        for path in _files(tree, home):
            entry = classify(path)
            if entry.kind in (EntryKind.PICTURE, EntryKind.DEEP):
                pictures.append((entry.half == "end", path))
            elif entry.kind is EntryKind.TICKET:
                tickets.append(path)
        tickets.sort()
        return Claim(
            id=_id_of(home),
            inbox=self._inbox,
            home=home,
            pictures=tuple(path for _, path in sorted(pictures)),
            tickets=tuple(tickets),
            foreign=foreign,
            within=tree.identity(home.rpartition("/")[0]),
        )

    def _undo(self, tree: Beneath, home: str) -> None:
        self._return(tree, home, _files(tree, home))
        tree.prune(home)

    def _return(self, tree: Beneath, home: str, paths: Sequence[str]) -> None:
        """Put claimed files back; what belongs together keeps one stem, also where a name is taken by now."""
        groups: dict[tuple[str, str], list[str]] = {}
        for path in paths:
            entry = classify(path)
            if entry.kind in _CLAIMED_KINDS:
                groups.setdefault(key_of(entry), []).append(path)
        for (folder, _), group in groups.items():
            tree.make(folder)
            left: list[str] = []
            for path in group:
                if tree.exists(path) and _same(tree, f"{home}/{path}", path):
                    _unlink(tree, f"{home}/{path}")
                else:
                    left.append(path)
            # Somebody may have put a new file in its place meanwhile; both are kept.
            names = free_names(tree, folder, [path.rpartition("/")[2] for path in left])
            for path, name in zip(left, names, strict=True):
                tree.rename(f"{home}/{path}", joined(folder, name))

    def _carry(self, tree: Beneath, claim: Claim, target: str, reason: Reason) -> str:
        """Move the files; the first picture goes last, so that until then the refusal can be done again."""
        files = [*claim.tickets, *reversed(claim.pictures)]
        left = [path for path in files if tree.exists(claim.at(path))]
        names = free_names(tree, target, [path.rpartition("/")[2] for path in left])
        why = target
        for path, name in zip(left, names, strict=True):
            if path == left[-1]:
                # Written before the rename: a picture without its reason would be a riddle.
                why = explain(tree, target, _refusal(claim, reason, names[::-1]))
            carry(tree, claim.at(path), tree, f"{target}/{name}")
        return why


def _keys(paths: Sequence[str]) -> set[tuple[str, str]]:
    return {key_of(classify(path)) for path in paths}


def _id_of(home: str) -> str:
    return home.rpartition("/")[2]


def _refusal(claim: Claim, reason: Reason, paths: Sequence[str]) -> Refusal:
    """Put together what the reason says; the first of the names is the picture's."""
    name, *others = (path.rpartition("/")[2] for path in paths)
    return Refusal(
        name=name,
        reason=reason,
        where=f"{claim.pictures[0]} in the inbox",
        others=tuple(others),
        folder=claim.folder,
        moved=claim.moved,
    )


def _files(tree: Beneath, home: str) -> list[str]:
    """List what a claim holds; one that is gone, or that somebody closed to us, holds nothing."""
    try:
        return tree.files(home)
    except (OSError, Linked):
        return []


def _hash(tree: Beneath, path: str) -> str:
    """Hash a plain file; "" for what is none, or cannot be read."""
    with contextlib.suppress(OSError, Linked):
        return tree.sha256(path, alone=True)
    return ""


def _unlink(tree: Beneath, path: str) -> None:
    """Remove a file; one that is gone is well, and so is what became a folder or lies behind a link."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, Linked):
        tree.unlink(path)


def _same(tree: Beneath, path: str, other: str) -> bool:
    """Return whether two plain files hold the same bytes."""
    return _hash(tree, path) == _hash(tree, other) != ""
