"""The folder in which a clip waits for its review, and the two folders next to it that are the answer.

Whoever sees only the share answers by moving the clip's folder. Its `READ ME.txt` says so, and names the job, so
that a folder of a person's own is never taken for one, whatever it is called and wherever it lies.
"""

from __future__ import annotations

import os
import re
import stat

import msgspec

from ..beneath import Beneath, Linked
from ..domain.job import Job
from ..file_names import is_job_folder

REVIEW = "review"
APPROVED, DECLINED = f"{REVIEW}/approved", f"{REVIEW}/declined"
READ_ME = "READ ME.txt"

_MOST_BYTES = 4096  # of a text of ours
_JOB = re.compile(r"Job ([0-9a-f]{32})\.\s*\Z")


class Answer(msgspec.Struct, frozen=True):
    """A job's folder that lies where it is an answer, and a mark that changes with what it holds."""

    job: str
    approved: bool
    mark: tuple[int, int]


def read_me(job: Job) -> bytes:
    """Say in three lines what the folder is and how to answer."""
    return (
        f"This clip waits for a review; {job.stem} becomes a finished video only when it is approved.\n"
        'To approve it, move this whole folder into the folder "approved" next to it; to decline it, into'
        ' "declined".\n'
        f"The page, `zoetrope approve {job.short}` and `zoetrope decline {job.short}` do the same."
        f" Job {job.id}.\n"
    ).encode()


def job_of(tree: Beneath, path: str) -> str:
    """Say which job's review a folder is; "" for a folder without a text of ours."""
    try:
        text = tree.read(f"{path}/{READ_ME}", _MOST_BYTES).decode("utf-8", "replace")
    except (OSError, Linked):
        return ""
    found = _JOB.search(text)
    return found[1] if found else ""


def answers(tree: Beneath) -> frozenset[Answer]:
    """Find every folder of a review that somebody moved to where it is an answer."""
    found: set[Answer] = set()
    for place in (APPROVED, DECLINED):
        for name, status in _entries(tree, place):
            if not (stat.S_ISDIR(status.st_mode) and is_job_folder(name)):
                continue
            if job := job_of(tree, f"{place}/{name}"):
                found.add(Answer(job, place == APPROVED, (status.st_ino, status.st_mtime_ns)))
    return frozenset(found)


def _entries(tree: Beneath, place: str) -> list[tuple[str, os.stat_result]]:
    try:
        return tree.entries(place)
    except FileNotFoundError:
        return []
