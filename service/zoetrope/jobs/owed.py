"""What is owed to users: a mark in the work of a job that ends without a video, until its picture is given back.

It is made before the row that ends the job, so that neither a crash nor a share that is away makes the service forget.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from .work import WorkFolders

_MARK = ".owed"


def owe(folder: Path) -> None:
    """Note that the picture of a work folder is to be given back; work that is gone has none."""
    with contextlib.suppress(FileNotFoundError):
        (folder / _MARK).touch()


def is_owed(folder: Path) -> bool:
    """Return whether the picture of a work folder is still to be given back."""
    return (folder / _MARK).exists()


def paid(folder: Path) -> None:
    """The picture is given back, or cannot ever be."""
    (folder / _MARK).unlink(missing_ok=True)


def owing(work: Path) -> list[str]:
    """Name the jobs whose pictures are still to be given back."""
    return [name for name in WorkFolders(work).names() if is_owed(work / name)]
