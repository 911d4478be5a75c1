"""The outbox: finished folders appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from ..beneath import Beneath, Linked
from ..domain.job import ENDED, Job, Progress, Stage, State
from ..durable import flush, sync_open
from ..errors import NotReadable, Reason
from ..file_names import fitted
from ..host import trouble
from ..structs import UNREADABLE, primed
from . import review_folder
from .outbox_identity import OutboxIdentity
from .review_folder import APPROVED, DECLINED, READ_ME, REVIEW, read_me

RECEIPT = "receipt.json"
MOST_RECEIPT = 16 * 1024 * 1024  # bytes of one; larger ones are not ours

_MOST_NAMES = 6
_CHUNK = 1 << 20

# How the folder of a job ends: with its short id, or with the whole one and perhaps a number.
_NAMED = re.compile(r"-([0-9a-f]{8})(?:[0-9a-f]{24}(?:-[0-9])?)?\Z")

Kind = Literal["source", "stage", "review", "poster", "video", "receipt"]


def folder_name(job: Job, *, whole: bool = False) -> str:
    """Name a job's folder; the whole id serves where the short one is taken by another job."""
    end = f"-{job.id if whole else job.short}"
    stem = _plain(job.stem)
    if whole:
        return fitted(stem, f"{end}-9").removesuffix("-9")
    return fitted(stem, end)


class _Signed(msgspec.Struct):
    """The part of a receipt that says whose it is."""

    job: str


_DECODE = msgspec.json.Decoder(primed(_Signed)).decode


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a job: what it is, and its name in the work folder and in the published one."""

    kind: Kind
    name: str  # plain and the same for every job, so that no text from outside is ever an address
    work: str  # "" for the receipt, which is only published
    published: str  # "" for what goes with the work folder
    stage: str = ""


def pieces(job: Job) -> tuple[Piece, ...]:
    """List everything that a job has to show: sources, each stage's clips, poster, videos, receipt."""
    if job.removed:
        return ()
    found: list[Piece] = []
    for image, name in zip(job.images, ("source", "source-end"), strict=False):
        file = f"{name}{_suffix(image.source)}"
        found.append(Piece(kind="source", name=file, work=image.source, published=file))
    title = _plain(job.ticket.name or job.stem)
    looked_at = reviewed(job)
    for stage in job.stages:
        last = stage is job.stages[-1]
        kind: Kind = "video" if last else "review" if stage is looked_at else "stage"
        for number, artefact in enumerate(stage.artefacts):
            end = f"{f'-{number + 1}' if number else ''}{_suffix(artefact.file)}"
            published = fitted(title, end) if last else f"stages/{stage.name}{end}"
            if last and any(piece.published == published for piece in found):
                # A clip called "source" made "source.mp4".
                published = fitted(title, f"-video{end}")
            found.append(
                Piece(
                    kind=kind,
                    name=f"video{end}" if last else f"stage-{stage.name}{end}",
                    work=artefact.file,
                    published=published,
                    stage=stage.name,
                )
            )
    # The last stage's poster is the one that stays; before there is any, the picture itself is shown.
    poster = "poster.jpg"
    if posed := [stage for stage in job.stages if stage.poster]:
        made, by = posed[-1].poster, posed[-1].name
        found.append(Piece(kind="poster", name=poster, work=made, published=poster, stage=by))
    elif job.images and job.images[0].small and job.state not in ENDED:
        found.append(Piece(kind="poster", name=poster, work=job.images[0].small, published=""))
    if job.outbox:
        found.append(Piece(kind="receipt", name=RECEIPT, work="", published=RECEIPT))
    return tuple(found)


def reviewed(job: Job) -> Stage | None:
    """Find the stage that a person is asked to look at."""
    if job.state is not State.REVIEW:
        return None
    return next((stage for stage in reversed(job.stages) if stage.state is Progress.DONE), None)


def contents(job: Job) -> dict[str, str]:
    """Say which work file becomes which published file, apart from the receipt."""
    return {piece.published: piece.work for piece in pieces(job) if piece.work and piece.published}


class Outbox:
    """The folder that people look into; all calls may block on the disk.

    Anybody with the share may put anything at any name: what is not ours is left alone, and nothing is
    written, removed or read through a link.
    """

    def __init__(self, root: Path, identity: OutboxIdentity | None = None) -> None:
        self._root = root
        self._identity = identity

    def look(self) -> Reason | None:
        """Say why nothing can be put here now: it is absent, another folder, or closed."""
        try:
            with self._open() as tree:
                if tree.changeable(""):
                    return None
                why = "closed to the service's user, or mounted read-only"
                raise PermissionError(errno.EACCES, why, str(self._root))
        except OSError as error:
            return trouble(error)
        except NotReadable as error:
            return error.reason

    def published(self, job_ids: Iterable[str]) -> dict[str, str]:
        """Name the finished folders of some jobs, by their receipts."""
        return find_published(self._root, job_ids)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Beneath]:
        """Hold the folder, if it is the one that it was."""
        with Beneath(self._root) as tree:
            if self._identity is not None:
                self._identity.check(tree)
            yield tree

    def publish(self, job: Job, work: Path, receipt: bytes) -> str:
        """Put a finished job's folder in place; done again after a crash, it finds its own work."""
        with self._open() as tree:
            name = self._published(tree, job) or self._publish(tree, job, work, receipt)
        with contextlib.suppress(OSError, Linked):
            self.clear_review(job, work)
        return name

    def show_review(self, job: Job, work: Path) -> str:
        """Put what waits for a look where a person on the share finds it."""
        names = [f"{REVIEW}/{name}" for name in _names(job)]
        stage = reviewed(job)
        # Copies: what a person does to the file they look at must not reach the work folder.
        files = {Path(k).name: work / v for k, v in contents(job).items()}
        with self._open() as tree:
            # Members move folders between these: so they are as open to the group as the outbox lets them be.
            for folder in (REVIEW, APPROVED, DECLINED):
                tree.make(folder)
            review = review_folder.begin(work, stage.name if stage else "", files)
            text = read_me(job, review.id)
            # It may have been answered already, by a user who moved it, or have another name.
            for found in review_folder.find(tree, APPROVED, DECLINED, REVIEW):
                if found.is_of(job.id, review.id):
                    if not found.review and found.path in names:  # of an earlier version
                        tree.write(f"{found.path}/{READ_ME}", text)
                    return found.path
            for name in names:
                if _lacks_text(tree, name, files):
                    with contextlib.suppress(OSError, Linked):
                        tree.write(f"{name}/{READ_ME}", text)
                    return name
                if not tree.exists(name) and self._build(
                    tree, job, name, {**files, READ_ME: text}, link=False
                ):
                    return name
        raise self._crowded(names[0])

    def clear_review(self, job: Job, work: Path) -> None:
        """Take away what was shown for a review once it is answered; what people put there or copied stays."""
        if (review := review_folder.shown(work)) is None:
            return
        with contextlib.suppress(FileNotFoundError), Beneath(self._root) as tree:
            for found in review_folder.find(tree, REVIEW, APPROVED, DECLINED):
                if found.is_of(job.id, review.id):
                    review_folder.clear(tree, found, job, review)
            review_folder.end(work)

    def prepare(self) -> None:
        """Make the folder, for a host that has no video yet.

        Later it is never made: one that is gone may be a share that is not mounted, and what was
        written below its mount point would be hidden when it is back.
        """
        self._root.mkdir(parents=True, exist_ok=True)

    def lacks_video(self, job: Job) -> bool:
        """Return whether a finished job's video is here no more, as far as that can be seen."""
        if not job.outbox:
            return False
        ends = {_suffix(piece.published) for piece in pieces(job) if piece.kind == "video"}
        try:
            with self._open() as tree:
                if _has_one(tree, job.outbox, ends):
                    return False
                # People rename folders; the new name ends as the old one did, which takes a look at all there are.
                renamed = find_published(self._root, [job.id]).get(job.id, "")
                return not (renamed and _has_one(tree, renamed, ends))
        except (OSError, NotReadable):
            return False

    def _published(self, tree: Beneath, job: Job) -> str | None:
        """Find the folder that an earlier try put in place."""
        return next((name for name in _names(job) if owner(tree, name) == job.id), None)

    def _publish(self, tree: Beneath, job: Job, work: Path, receipt: bytes) -> str:
        """Build the folder under the first name that nobody else has."""
        files: dict[str, Path | bytes] = {k: work / v for k, v in contents(job).items()}
        for name in _names(job):
            if not tree.exists(name) and self._build(
                tree, job, name, {**files, RECEIPT: receipt}, link=True
            ):
                return name
        raise self._crowded(folder_name(job))

    def _crowded(self, name: str) -> NotReadable:
        return NotReadable(
            f"{self._root / name} cannot be put in place: something else stands under every name that was"
            " tried.",
            f"See who writes in {self._root}, and remove what is in the way.",
            key="outbox-crowded",
        )

    def _build(
        self,
        tree: Beneath,
        job: Job,
        final: str,
        files: Mapping[str, Path | bytes],
        *,
        link: bool,
    ) -> bool:
        """Build a folder hidden and bring it to light as a whole; false where others are in the way."""
        above, slash, _ = final.rpartition("/")
        hidden = f"{above}{slash}.{job.id}.part"
        try:
            # What an earlier try left; a folder that somebody else put there is left alone.
            with contextlib.suppress(OSError):
                if tree.stat(hidden).st_uid == os.geteuid():
                    tree.remove(hidden)
            if tree.exists(hidden):
                hidden = f"{above}{slash}.{uuid.uuid4().hex}.part"
            with tree.fresh(hidden) as made:
                for relative, content in files.items():
                    _put(made, relative, content, link=link)
                for folder in dict.fromkeys(("", *(name.rpartition("/")[0] for name in files))):
                    made.sync(folder)
            tree.rename(hidden, final)
            tree.sync(above)
            return tree.is_folder(final)
        except (FileExistsError, NotADirectoryError, Linked):
            return False
        except FileNotFoundError:
            # What was built was taken away; or a file of the job's own is missing.
            if tree.is_folder(hidden):
                raise
            return False
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
        finally:
            with contextlib.suppress(OSError, Linked):
                tree.remove(hidden)


def _names(job: Job) -> tuple[str, ...]:
    """Name the folders that a job may have; a later one serves where those before it are taken."""
    whole = folder_name(job, whole=True)
    return folder_name(job), whole, *(f"{whole}-{number}" for number in range(2, _MOST_NAMES))


def _lacks_text(tree: Beneath, name: str, files: Iterable[str]) -> bool:
    """Return whether a folder was built for a review by an earlier version, which wrote no text into it."""
    return (
        tree.is_folder(name)
        and not tree.exists(f"{name}/{READ_ME}")
        and all(tree.exists(f"{name}/{file}") for file in files)
    )


def _has_one(tree: Beneath, folder: str, ends: Collection[str]) -> bool:
    """Return whether a file with one of these ends is in a folder; people rename files as well."""
    return tree.is_folder(folder) and any(_suffix(name) in ends for name, _ in tree.entries(folder))


def owner(tree: Beneath, name: str) -> str:
    """Say whose folder stands under a name: a job's id, or "" for nobody's and somebody else's."""
    try:
        return _DECODE(tree.read(f"{name}/{RECEIPT}", MOST_RECEIPT)).job
    except (OSError, Linked, *UNREADABLE):
        return ""


def find_published(root: Path, job_ids: Iterable[str]) -> dict[str, str]:
    """Find the finished folders of some jobs by their receipts, whatever the ledger says; {} where none can be read."""
    shorts: dict[str, list[str]] = {}
    for job_id in job_ids:
        shorts.setdefault(job_id[:8], []).append(job_id)
    found: dict[str, str] = {}
    if not shorts:
        return found
    with contextlib.suppress(OSError), Beneath(root) as tree:
        for name in _listed(tree):
            named = _NAMED.search(name)
            wanted = shorts.get(named[1], ()) if named else ()
            if wanted and (job_id := owner(tree, name)) in wanted:
                found[job_id] = name
    return found


def _listed(tree: Beneath) -> list[str]:
    """Name what is in the folder, without a look at each; there may be a hundred thousand videos."""
    with tree.folder("") as at, os.scandir(at) as entries:
        return [entry.name for entry in entries]


def _put(made: Beneath, relative: str, content: Path | bytes, *, link: bool) -> None:
    """Put one file into a folder that is being built, and make its bytes durable."""
    folder = relative.rpartition("/")[0]
    made.make(folder)
    if isinstance(content, bytes):
        with open(made.create(relative), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            flush(file)
        return
    with content.open("rb") as source:
        if link and _has_group_of(made, folder, source.fileno()):
            # Instead of copying where the disk is the same: clips may be large.
            try:
                made.link(content, relative)
            except OSError:
                pass
            else:
                sync_open(source.fileno())
                return
        with open(made.create(relative), "wb") as file:  # noqa: PTH123 - a descriptor
            shutil.copyfileobj(source, file, _CHUNK)
            flush(file)


def _has_group_of(made: Beneath, folder: str, file: int) -> bool:
    """Give a file the group that a new one would get in a folder; false where that may not be done.

    A second name keeps the file's group: the service's own, which no member of the share is in.
    """
    with made.folder(folder) as at:
        found = os.fstat(at)
    if not found.st_mode & stat.S_ISGID or os.fstat(file).st_gid == found.st_gid:
        return True
    try:
        os.fchown(file, -1, found.st_gid)
    except OSError:
        return False
    return True


def _suffix(file: str) -> str:
    """Give a file name's end; a path object would take as long as all the rest of a listing."""
    _, dot, end = file.rpartition(".")
    return f"{dot}{end}"


def _plain(name: str) -> str:
    """Keep a name inside its folder and in sight, wherever it came from."""
    return name.replace("/", "_").replace("\0", "_").lstrip(".") or "video"
