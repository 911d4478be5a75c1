"""A work folder's own note of its job, so that what a lost ledger knew of a picture is not lost with it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from ..beneath import Beneath, Linked
from ..domain.job import Job
from ..store.rows import BROKEN
from ..structs import primed

NOTE = "job.json"
# Stands in a new folder until its job is written down: what is found with it was never promised to anybody.
UNFINISHED = "unfinished"
_MOST_BYTES = 16 * 1024 * 1024


def begin(folder: Path) -> None:
    """Make a new job's folder and mark it as unfinished; one that is there already stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        (folder / UNFINISHED).touch()


def keep(folder: Path, job: Job) -> None:
    """Note what a job is accepted as; its name is durable once the folder is."""
    try:
        body = msgspec.json.encode(job)
    except BROKEN:
        return  # the ledger does not keep it either, and says so
    with Beneath(folder) as tree:
        tree.write(NOTE, body)
        with contextlib.suppress(FileNotFoundError):
            tree.unlink(UNFINISHED)


def missing(folder: Path) -> bool:
    """Return whether a folder is there without a note."""
    return folder.is_dir() and not (folder / NOTE).exists()


def read(tree: Beneath, name: str) -> Job | None:
    """Read the note of a folder; None where there is none, or nothing can be made of it."""
    try:
        job = msgspec.json.decode(tree.read(f"{name}/{NOTE}", _MOST_BYTES), type=primed(Job))
    except (OSError, Linked, *BROKEN):
        return None
    return job


def unfinished(tree: Beneath, name: str) -> bool:
    """Return whether a folder holds nothing, or what never came as far as its job."""
    files = tree.files(name)
    return not files or (UNFINISHED in files and NOTE not in files)


def versions(*roots: Path) -> set[str]:
    """Name the recipe versions with which the work below some folders was accepted."""
    found: set[str] = set()
    for root in roots:
        with contextlib.suppress(FileNotFoundError), Beneath(root) as tree:
            for name, _ in tree.entries(""):
                if (job := read(tree, name)) is not None:
                    found.add(job.recipe_version)
    return found
