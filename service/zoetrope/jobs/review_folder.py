"""The folder in which a clip waits for its review, and the two folders next to it that are the answer.

Whoever sees only the share answers by moving the clip's folder. Its `READ ME.txt` says so, and names the job and the
review, so that the folder is known whatever it is called, and neither a folder of a person's own nor a copy from an
earlier review is taken for one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..domain.job import Job
from ..store.rows import BROKEN
from ..structs import primed

REVIEW = "review"
APPROVED, DECLINED = f"{REVIEW}/approved", f"{REVIEW}/declined"
READ_ME = "READ ME.txt"
SHOWN = "review.json"  # in the work folder

_MOST_BYTES = 4096  # of a text of ours
_MOST_SHOWN = 1 << 20
# A text of an earlier version names no review; such a folder belongs to whichever is open.
_NAMED = re.compile(r"Job ([0-9a-f]{32})(?:, review ([0-9a-f]{8}))?\.\s*\Z")


class ShownReview(msgspec.Struct, frozen=True):
    """What the service put into the folder of one review; nothing else that lies there is removed with it."""

    id: str
    stage: str
    files: dict[str, str]  # each name with its content's SHA-256


class ReviewFolder(msgspec.Struct, frozen=True):
    """A folder that names a job's review, wherever it was moved to."""

    path: str
    job: str
    review: str  # "" in a text of an earlier version
    mark: tuple[int, int]  # changes with what it holds

    @property
    def approved(self) -> bool:
        """Whether it lies where it approves; only in the folders of answers it says anything."""
        return self.path.startswith(f"{APPROVED}/")

    def is_of(self, job: str, review: str) -> bool:
        """Return whether it is the folder of a certain review."""
        return self.job == job and self.review in ("", review)


def read_me(job: Job, review: str) -> bytes:
    """Say in three lines what the folder is and how to answer."""
    named = f"Job {job.id}, review {review}" if review else f"Job {job.id}"
    return (
        f"This clip waits for a review; {job.stem} becomes a finished video only when it is approved.\n"
        'To approve it, move this whole folder into the folder "approved" next to it; to decline it, into'
        ' "declined".\n'
        f"The page, `zoetrope approve {job.short}` and `zoetrope decline {job.short}` do the same."
        f" {named}.\n"
    ).encode()


def named_in(tree: Beneath, path: str) -> tuple[str, str]:
    """Say which job and which review a folder names; "" for a folder without a text of ours."""
    try:
        text = tree.read(f"{path}/{READ_ME}", _MOST_BYTES).decode("utf-8", "replace")
    except (OSError, Linked):
        return "", ""
    found = _NAMED.search(text)
    return (found[1], found[2] or "") if found else ("", "")


def find(tree: Beneath, *places: str) -> Iterator[ReviewFolder]:
    """Find every folder in some places that names a review, whatever it is called."""
    for place in places:
        try:
            entries = tree.entries(place)
        except FileNotFoundError:
            continue
        for name, status in entries:
            # A hidden one is being built, or copied by a program.
            if not stat.S_ISDIR(status.st_mode) or name.startswith("."):
                continue
            job, review = named_in(tree, f"{place}/{name}")
            if job:
                yield ReviewFolder(
                    f"{place}/{name}", job, review, (status.st_ino, status.st_mtime_ns)
                )


def answers(tree: Beneath) -> frozenset[ReviewFolder]:
    """Find every folder of a review that somebody moved to where it is an answer."""
    return frozenset(find(tree, APPROVED, DECLINED))


def shown(work: Path) -> ShownReview | None:
    """Say what is shown of a job, by its work folder; None while nothing is."""
    try:
        with Beneath(work) as tree:
            return msgspec.json.decode(tree.read(SHOWN, _MOST_SHOWN), type=primed(ShownReview))
    except (OSError, Linked, *BROKEN):
        return None


def begin(work: Path, stage: str, files: Mapping[str, Path]) -> ShownReview:
    """Write down what is about to be shown; done again after a crash, it is the same review."""
    known = shown(work)
    if known is not None and known.stage == stage:
        return known
    review = ShownReview(
        uuid.uuid4().hex[:8], stage, {name: _sha256(file) for name, file in files.items()}
    )
    with Beneath(work) as tree:
        tree.write(SHOWN, msgspec.json.encode(review))
        tree.sync("")
    return review


def end(work: Path) -> None:
    """Note that nothing is shown of a job any more."""
    with contextlib.suppress(FileNotFoundError), Beneath(work) as tree:
        tree.unlink(SHOWN)


def clear(tree: Beneath, folder: ReviewFolder, job: Job, review: ShownReview) -> None:
    """Remove from a folder what the service put there, and the folder if that leaves it empty.

    A file that a person changed is theirs. The text that names the review goes last, so that a removal that was
    cut short is found again.
    """
    texts = (read_me(job, review.id), read_me(job, ""))
    ours = review.files | {READ_ME: ""}
    there = {name for name, _ in tree.entries(folder.path)}
    for name, digest in ours.items():
        if name not in there:
            continue
        path = f"{folder.path}/{name}"
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(tree.stat(path).st_mode):
                continue
            if (
                tree.read(path, _MOST_BYTES) in texts
                if name == READ_ME
                else tree.sha256(path) == digest
            ):
                tree.unlink(path)
    tree.remove_empty(folder.path)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
