"""Lost work: folders that the ledger knows nothing of are put aside, each with a note; only a user removes it.

A ledger that was restored, moved or begun anew has no rows for them, and they may hold the last copy of a picture.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from ..beneath import Beneath, Linked, Place
from ..domain.job import Job, State, is_job_id
from ..domain.values import Ticket
from ..errors import NotFound
from ..store.rows import BROKEN
from ..structs import primed
from . import work_note
from .work import WorkFolders, size_of

NOTE = "lost.json"
_MOST_BYTES = 16 * 1024 * 1024
_WHY = (
    "The ledger has no row for this work: it was restored from an earlier copy, moved, or begun anew"
    " after the job was accepted."
)
_WHAT_NEXT = (
    "`zoetrope recover {short}` makes a job of it again, `zoetrope recover --discard {short}` removes it,"
    " and so does the page; nothing removes it by itself."
)


class LostPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, or video, of lost work: its name, and the file that holds its bytes."""

    name: str
    file: str
    sha256: str = ""
    size: int = 0


class LostNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of lost work; of that of an older zoetrope, the ticket is not."""

    job: Annotated[str, msgspec.Meta(description="The id that the job had.")]
    why: str
    next_step: str
    found: Annotated[float, msgspec.Meta(description="When it was put aside, as a unix time.")]
    accepted: float | None = None
    stem: str = ""
    folder: str = ""  # of the inbox
    pictures: tuple[LostPicture, ...] = ()
    ticket: Ticket | None = None
    recipe_version: str = ""
    seed: int | None = None
    video: str = ""  # in the outbox, if there was one when it was put aside
    ended: Annotated[
        str, msgspec.Meta(description="How a user had ended it: cancelled or declined; else empty.")
    ] = ""
    size: Annotated[int, msgspec.Meta(description="What its removal frees, in bytes.")] = 0


def is_spare(noted: Job | None, job: Job | None) -> bool:
    """Return whether work is a spare copy: of an upload that was cut off before its row, and repeated.

    The repeated request has its own copy of the same pictures and the same ticket, and a row.
    """
    if noted is None or job is None or not noted.request or noted.id == job.id:
        return False
    return noted.request == job.request and _hashes(noted) == _hashes(job)


def _hashes(job: Job) -> tuple[str, ...]:
    return tuple(image.sha256 for image in job.images)


def describe(
    job_id: str, job: Job | None, sources: Sequence[LostPicture], found: float, video: str = ""
) -> LostNote:
    """Say all that is known of lost work; without a job's note that is its files."""
    short = job_id[:8]
    known = LostNote(
        job=job_id,
        why=_WHY,
        next_step=_WHAT_NEXT.format(short=short),
        found=found,
        stem=f"lost-{short}",
        pictures=tuple(sources),
        video=video,
    )
    if job is None:
        return known
    pictures = (
        LostPicture(name=image.name, file=image.source, sha256=image.sha256, size=image.size)
        for image in job.images
    )
    return msgspec.structs.replace(
        known,
        accepted=job.created,
        stem=job.stem,
        folder=job.folder,
        pictures=tuple(dict.fromkeys(pictures)),
        ticket=job.ticket,
        recipe_version=job.recipe_version,
        seed=job.seed,
        ended=job.reason.key if job.state is State.CANCELLED and job.reason else "",
    )


class LostWork:
    """The folder `lost+found` next to the work folders; every method blocks on the disk."""

    def __init__(self, work: Path, root: Path) -> None:
        self._work = work
        self._root = root
        self._folders = WorkFolders(root)
        self._requests: dict[str, str] = {}

    def ids(self) -> list[str]:
        """List the ids of what is here, in the order of the ids."""
        return sorted(name for name in self._folders.names() if is_job_id(name))

    def put_aside(self, job_id: str, found: float, video: str = "") -> bool:
        """Move a work folder here, with its note; false for one that never came as far as a job and is removed."""
        with Beneath(self._work) as work:
            if work_note.unfinished(work, job_id):
                work.remove(job_id)
                return False
            job = work_note.read(work, job_id)
            sources = () if job is not None else _sources(work, job_id)
            note = _sized(work, describe(job_id, job, sources, found, video))
            # Before the move, so that nothing ever lies here without its note.
            work.write(f"{job_id}/{NOTE}", _readable(note))
            self._root.mkdir(exist_ok=True)
            with Beneath(self._root) as tree:
                work.move(job_id, tree, job_id)
                tree.sync("")
            work.sync("")
        return True

    def put_back(self, job_id: str) -> bool:
        """Move work back whose row is there again; false where the job has other work by now."""
        with Beneath(self._root) as tree, Beneath(self._work) as work:
            try:
                tree.move(job_id, work, job_id)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return False
            with contextlib.suppress(FileNotFoundError):
                work.unlink(f"{job_id}/{NOTE}")
            work.sync("")
        return True

    def note(self, job_id: str) -> LostNote:
        """Read the note of lost work, or make it anew; NotFound where there is no such work."""
        with self._held(job_id) as tree:
            with contextlib.suppress(OSError, Linked, *BROKEN):
                content = tree.read(f"{job_id}/{NOTE}", _MOST_BYTES)
                note = msgspec.json.decode(content, type=primed(LostNote))
                return note if note.size else _sized(tree, note)  # of an earlier version
            try:
                job = work_note.read(tree, job_id)
                when = tree.stat(job_id).st_mtime
                sources = () if job else _sources(tree, job_id)
                return _sized(tree, describe(job_id, job, sources, when))
            except FileNotFoundError as error:  # removed a moment ago
                raise unknown(job_id) from error

    def job(self, job_id: str) -> Job | None:
        """Give the job as it was accepted; None for work of an older zoetrope."""
        with self._held(job_id) as tree:
            return work_note.read(tree, job_id)

    def place(self, job_id: str, file: str) -> Place:
        """Say where a file of lost work lies."""
        return Place(self._root, f"{job_id}/{file}")

    def remove(self, job_id: str) -> None:
        """Remove work that became a job again, or that a user discards."""
        self._folders.remove(job_id)

    def remove_spares(self, job: Job) -> list[str]:
        """Remove the spare copies of a job whose row is durable; gives their ids."""
        if not job.request:
            return []
        found = [
            each
            for each in self.ids()
            if self._request(each) == job.request and is_spare(self.job(each), job)
        ]
        for each in found:
            self.remove(each)
        return found

    def _request(self, job_id: str) -> str:
        """Give the request that work came with, which never changes: there may be thousands, and this is asked often."""
        if job_id not in self._requests:
            noted = self.job(job_id)
            self._requests[job_id] = noted.request if noted is not None else ""
        return self._requests[job_id]

    def clear(self) -> None:
        """Finish the removals that an earlier process began."""
        self._folders.clear()

    @contextlib.contextmanager
    def _held(self, job_id: str) -> Iterator[Beneath]:
        with contextlib.ExitStack() as stack:
            try:
                tree = stack.enter_context(Beneath(self._root))
            except FileNotFoundError as error:
                raise unknown(job_id) from error
            if not is_job_id(job_id) or not tree.is_folder(job_id):
                raise unknown(job_id)
            yield tree


def unknown(job_id: str) -> NotFound:
    """Say that there is no such work."""
    return NotFound(
        f"There is no lost work {job_id[:32]!r}.",
        "`zoetrope recover` lists what there is.",
        key="lost-unknown",
    )


def _sources(tree: Beneath, job_id: str) -> tuple[LostPicture, ...]:
    """Find the untouched pictures of a job without a note, by the names that they are copied to."""
    found = []
    for name in sorted(tree.files(job_id), reverse=True):
        if "/" in name or name.partition(".")[0] not in ("source", "end"):
            continue
        with contextlib.suppress(OSError, Linked):
            found.append(_measured(tree, job_id, name))
    return tuple(found)


def _measured(tree: Beneath, job_id: str, name: str) -> LostPicture:
    path = f"{job_id}/{name}"
    return LostPicture(name=name, file=name, sha256=tree.sha256(path), size=tree.stat(path).st_size)


def _sized(tree: Beneath, note: LostNote) -> LostNote:
    return msgspec.structs.replace(note, size=size_of(tree, note.job))


def _readable(note: LostNote) -> bytes:
    """Write a note as people read it."""
    return msgspec.json.format(msgspec.json.encode(note), indent=2) + b"\n"
