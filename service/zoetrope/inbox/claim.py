"""Claims: a picture is ours from one atomic rename on, and its path alone says how to undo that."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from ..errors import NotFound, Reason, Rejected
from .entry import CLAIMED, REFUSED, WHY, Entry, Kind, classify, cut, shown, ticket_names

# A fixed namespace makes a copied file's claim the same on every scan and after every restart.
COPIES = uuid.UUID("0c9a4a0e-8a1f-5f0e-b5a5-6a2f9f0d6c31")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Files that belong together and are ours; paths are relative to the inbox."""

    id: str
    root: Path  # the folder that the paths are relative to: the claim's own, or the inbox itself
    pictures: tuple[str, ...]  # of a pair, the start comes first
    tickets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # of files that stay: the ids that the other pictures have alone
    moved: bool = True  # false when the files stay where they are

    def file(self, path: str) -> Path:
        """Say where a claimed file lies now."""
        return self.root / path

    @property
    def folder(self) -> str:
        """The inbox folder that the files were dropped in."""
        return self.pictures[0].rpartition("/")[0]


class Claims:
    """The claim folders of one inbox; every method blocks on the file system and belongs on a thread."""

    def __init__(
        self,
        inbox: Path,
        *,
        move: bool = True,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        fallback: Path | None = None,
    ) -> None:
        self._inbox = inbox
        self._move = move
        self._new_id = new_id
        # Where reasons go when the inbox is not ours to write in: a folder of the outbox.
        self._fallback = fallback if fallback is not None else inbox / REFUSED
        self._refusing = threading.Lock()
        self._apart: set[str] = set()  # folders that are mounts of their own

    def prepare(self) -> None:
        """Make the folders that we need in the inbox; an OSError says that it cannot be written."""
        if not self._move:
            return
        if not self._inbox.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._inbox))
        for name in (CLAIMED, REFUSED):
            (self._inbox / name).mkdir(exist_ok=True)

    def take(
        self, pictures: tuple[str, ...], tickets: tuple[str, ...] = (), *, shared: bool = False
    ) -> Claim | None:
        """Claim files that belong together; None if a picture is gone.

        The first picture's rename is the commit point and comes last. A ticket that another picture of
        the same stem needs as well (`shared`) is copied instead of moved.
        """
        if not self._move:
            return self._stay(pictures, tickets)
        self.prepare()
        claim_id = self._new_id()
        first = pictures[0].partition("/")[0]
        if first not in self._apart:
            try:
                return self._rename(self._inbox / CLAIMED / claim_id, pictures, tickets, shared)
            except OSError as error:
                if error.errno != errno.EXDEV or "/" not in pictures[0]:
                    raise
                # The folder is a mount of its own; what is claimed there has to stay on it.
                self._apart.add(first)
        root = self._inbox / first / CLAIMED / claim_id
        return self._rename(root, pictures, tickets, shared)

    def take_named(self, path: str) -> Claim:
        """Claim one picture that somebody named, with its tickets; no link and no way out is followed."""
        entry = classify(path)
        plain = PurePosixPath(path).as_posix() == path and not path.startswith("/")
        if not plain or "\0" in path or entry.kind is not Kind.PICTURE:
            raise NotFound(
                f"{shown(path)[:200]!r} is no picture's path in the inbox.",
                "Give it relative to the inbox: cat.png, or FOLDER/cat.png.",
                key="picture-missing",
            )
        claim = None
        if self._lies_here(entry):
            folder = f"{entry.folder}/" if entry.folder else ""
            beside = (folder + name for name in ticket_names(entry.stem, entry.half))
            claim = self.take((path,), tuple(beside))
        if claim is None:
            raise NotFound(
                f"There is no {shown(path)[:200]!r} in the inbox.",
                "It may have been taken already: `zoetrope jobs` lists what became of it.",
                key="picture-missing",
            )
        return claim

    def _lies_here(self, entry: Entry) -> bool:
        """Tell whether a name leads to a file, and not through a link."""
        # A name that no file can have (too long, not to be encoded) leads nowhere.
        with contextlib.suppress(OSError, ValueError):
            if not (self._inbox / entry.folder).is_symlink():
                return stat.S_ISREG((self._inbox / entry.path).lstat().st_mode)
        return False

    def _rename(
        self, root: Path, pictures: tuple[str, ...], tickets: tuple[str, ...], shared: bool
    ) -> Claim | None:
        for folder in dict.fromkeys(path.rpartition("/")[0] for path in pictures):
            (root / folder).mkdir(parents=True, exist_ok=True)
        taken: list[str] = []
        try:
            for path in tickets:
                with contextlib.suppress(FileNotFoundError):
                    if shared:
                        shutil.copy2(self._inbox / path, root / path, follow_symlinks=False)
                    else:
                        (self._inbox / path).rename(root / path)
                    taken.append(path)
            for path in reversed(pictures):
                (self._inbox / path).rename(root / path)
        except FileNotFoundError:
            self._undo(root)
            return None
        except OSError:
            self._undo(root)
            raise
        return Claim(id=root.name, root=root, pictures=pictures, tickets=tuple(taken))

    def pending(self) -> list[Claim]:
        """List the claims that an earlier run left, oldest first; one without a picture is incomplete."""
        if not self._move:
            return []
        places = [self._inbox / CLAIMED, *self._inbox.glob(f"*/{CLAIMED}")]
        found = [path for place in places if place.is_dir() for path in place.iterdir()]
        roots = sorted((path.lstat().st_mtime_ns, path) for path in found)
        return [self._read(root) for _, root in roots if root.is_dir()]

    def release(self, claim: Claim) -> None:
        """Let the originals go: the ledger and the work folder hold all that is needed."""
        if not claim.moved:
            return
        for path in (*claim.tickets, *claim.pictures):
            claim.file(path).unlink(missing_ok=True)
            # A reason that an earlier try left would now be misleading.
            why = self._inbox / REFUSED / (path + WHY)
            if not os.path.lexists(self._inbox / REFUSED / path):
                with contextlib.suppress(OSError):
                    why.unlink(missing_ok=True)
        self._prune(claim.root)

    def refuse(self, claim: Claim, reason: Reason) -> Path:
        """Move a claim's files where people find them, each picture with its reason; returns the first reason's file."""
        if not claim.moved:
            target = self._fallback / claim.folder
            target.mkdir(parents=True, exist_ok=True)
            names = [path.rpartition("/")[2] for path in claim.pictures]
            return self._explain(target, names[0], names, reason, moved=False)
        if not claim.root.is_dir():
            # Gone with its share, perhaps: nothing may be made where the share was mounted.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(claim.root))
        target = self._inbox / REFUSED / claim.folder
        target.mkdir(parents=True, exist_ok=True)
        with self._refusing:
            why = self._carry(claim, target, reason)
        _sync(target)
        self._prune(claim.root)
        return why

    def put_back(self, claim: Claim) -> None:
        """Undo a claim: every file returns to the path that its own path tells."""
        if claim.moved:
            self._undo(claim.root)

    def _stay(self, pictures: tuple[str, ...], tickets: tuple[str, ...]) -> Claim | None:
        try:
            found = [(self._inbox / path).lstat() for path in pictures]
        except FileNotFoundError:
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
            root=self._inbox,
            pictures=pictures,
            tickets=tuple(path for path in tickets if os.path.lexists(self._inbox / path)),
            moved=False,
        )

    def _read(self, root: Path) -> Claim:
        pictures: list[tuple[bool, str]] = []
        tickets: list[str] = []
        for path in _files(root):
            entry = classify(path)
            if entry.kind in (Kind.PICTURE, Kind.DEEP):
                pictures.append((entry.half == "end", path))
            else:
                tickets.append(path)
        tickets.sort()
        return Claim(
            id=root.name,
            root=root,
            pictures=tuple(path for _, path in sorted(pictures)),
            tickets=tuple(tickets),
        )

    def _undo(self, root: Path) -> None:
        for path in list(_files(root)):
            target = self._inbox / path
            target.parent.mkdir(parents=True, exist_ok=True)
            source = root / path
            if not os.path.lexists(target):
                source.rename(target)
            elif _same(source, target):
                source.unlink()
            else:
                # Somebody put a new file in its place meanwhile; both are kept.
                source.rename(target.parent / _free_name(target.parent, target.name))
        self._prune(root)

    def _carry(self, claim: Claim, target: Path, reason: Reason) -> Path:
        """Move the files; the first picture goes last, so that until then the refusal can be done again."""
        files = [*claim.tickets, *reversed(claim.pictures)]
        left = [path for path in files if os.path.lexists(claim.file(path))]
        names: list[str] = []
        for path in left:
            names.append(_free_name(target, path.rpartition("/")[2]))
            if path == left[-1]:
                # Written before the rename: a picture without its reason would be a riddle.
                self._explain(target, names[-1], names, reason, moved=True)
            _carry(claim.file(path), target / names[-1])
        return _why(target, names[-1]) if names else target

    def _explain(
        self, target: Path, name: str, names: list[str], reason: Reason, *, moved: bool
    ) -> Path:
        others = [other for other in names if other != name]
        lines = [f"{shown(name)} was not taken.", "", reason.sentence]
        if reason.next_step:
            lines += ["", f"What to do: {reason.next_step}"]
        if others:
            lines += ["", f"With it: {', '.join(shown(other) for other in sorted(others))}."]
        if moved:
            lines += ["", "To try again, move it back into the inbox."]
        else:
            lines += ["", "The file was left where it is. To try again, change it or `touch` it."]
        why = _why(target, name)
        why.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return why

    def _prune(self, root: Path) -> None:
        """Remove a claim's folders; one that still holds a file stays, whatever it is."""
        for folder, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def check_file(path: Path) -> os.stat_result:
    """Refuse what is not a plain file of its own: links can lead out of the inbox or change under us."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise Rejected(
            "It is a link, not a file; links are never followed.",
            "Copy the picture itself into the inbox.",
            key="picture-link",
        )
    if not stat.S_ISREG(found.st_mode):
        raise Rejected(
            "It is not a file but a device, a pipe or a folder.",
            "Copy a picture into the inbox.",
            key="picture-link",
        )
    if found.st_nlink > 1:
        raise Rejected(
            "The file has a second name elsewhere (a hard link), so it could change while we work.",
            "Copy the picture instead of linking it.",
            key="picture-link",
        )
    return found


def _files(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield str((Path(folder) / name).relative_to(root))
    # A link to a folder is listed among the folders, and walk does not enter it.
    for folder, folders, _ in os.walk(root):
        for name in folders:
            if (Path(folder) / name).is_symlink():
                yield str((Path(folder) / name).relative_to(root))


def _why(folder: Path, name: str) -> Path:
    return folder / f"{cut(name, 255 - len(WHY))}{WHY}"


def _free_name(folder: Path, name: str) -> str:
    """Find a name that is not taken in a folder: the file's own, or that with a number."""
    base, dot, suffix = name.rpartition(".")
    if not dot:
        base, suffix = name, ""
    found, number = name, 1
    while os.path.lexists(folder / found):
        number += 1
        tail = f" ({number}){dot}{suffix}"
        found = cut(base, 255 - len(os.fsencode(tail))) + tail
    return found


def _carry(source: Path, target: Path) -> None:
    """Rename a file, or copy it where a mount lies between."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(f".{uuid.uuid4().hex}.part")
        shutil.copy2(source, part, follow_symlinks=False)
        if not part.is_symlink():
            with part.open("rb") as copied:
                os.fsync(copied.fileno())
        part.rename(target)
        source.unlink()


def _same(one: Path, other: Path) -> bool:
    try:
        if one.is_symlink() or other.is_symlink() or one.lstat().st_size != other.lstat().st_size:
            return False
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some shares cannot flush a folder; they have no better promise to give.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
