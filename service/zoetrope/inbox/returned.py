"""Pictures whose jobs came to nothing later: given back to people, with the reason in words."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import stat
from io import BufferedReader
from pathlib import Path

from ..beneath import Beneath, Linked
from ..domain.job import Job, Progress, State
from ..errors import Reason
from ..file_names import fitted, split
from ..settings import Settings
from .refusal import Refusal, explain, free_name, joined

log = logging.getLogger("zoetrope.inbox")


class Returned:
    """Lays a copy of a failed job's picture into `rejected/`; moved back into the inbox, it is tried again."""

    def __init__(self, settings: Settings) -> None:
        self._work = settings.work
        self._homes = (
            (settings.inbox.path, settings.outbox.path)
            if settings.inbox.claim == "move"
            else (settings.outbox.path,)
        )

    async def explain(self, job: Job) -> None:
        """Give a job's pictures back with the reason; a share that cannot be written is only logged."""
        log.warning("%s", job.reason, extra={"job": job.short, "action": str(job.state)})
        for home in self._homes:
            try:
                await asyncio.to_thread(self._lay, job, home)
            except (OSError, Linked) as error:
                reason = error.reason if isinstance(error, Linked) else _words(error)
                log.warning(
                    "the picture could not be put into %s/rejected: %s",
                    home,
                    reason,
                    extra={"job": job.short, "action": "not-returned"},
                )
            else:
                return

    def _lay(self, job: Job, home: Path) -> None:
        folder = joined("rejected", job.folder) if job.folder else "rejected"
        with Beneath(home) as tree:
            tree.make(folder)
            names = []
            for image in job.images:
                source = self._work / job.id / image.source
                names.append(_put(tree, folder, source, image.name, job.short))
            title, *others = names or [f"{job.stem}-{job.short}"]
            explain(
                tree,
                folder,
                Refusal(
                    name=title,
                    reason=job.reason,
                    where=_where(job),
                    others=tuple(others),
                    folder=job.folder,
                    failed=job.state is not State.REJECTED,
                    # Only what failed can go on; what was rejected would be rejected again.
                    job=job.short if job.state is State.FAILED else "",
                ),
            )


def _put(tree: Beneath, folder: str, source: Path, name: str, short: str) -> str:
    """Lay a picture into a folder, unless it lies there already, and give the name that it has there."""
    name = _ended(name.rpartition("/")[2], "")
    if tree.exists(joined(folder, name)):
        # Another file's; with the job's id in its name, the picture lies there since an earlier try.
        name = _ended(name, f"-{short}")
        if tree.exists(joined(folder, name)):
            if _same(tree, joined(folder, name), source):
                return name
            name = free_name(tree, folder, name)
    with source.open("rb") as file, tree.replacing(joined(folder, name)) as made:
        shutil.copyfileobj(file, made)
    return name


def _same(tree: Beneath, path: str, source: Path) -> bool:
    """Return whether a plain file of the folder holds the same bytes as one of ours."""
    try:
        with source.open("rb") as ours, open(tree.open(path), "rb") as theirs:  # noqa: PTH123
            plain = stat.S_ISREG(os.fstat(theirs.fileno()).st_mode)
            return plain and _digest(ours) == _digest(theirs)
    except (OSError, Linked):
        return False


def _digest(file: BufferedReader) -> bytes:
    return hashlib.file_digest(file, "sha256").digest()


def _ended(name: str, end: str) -> str:
    """Put something between a file's name and its suffix."""
    base, suffix = split(name)
    return fitted(base, f"{end}{suffix}")


def _where(job: Job) -> str:
    """Say which job failed, and in which of its stages."""
    broken = next((stage for stage in job.stages if stage.state is Progress.FAILED), None)
    return f"job {job.short}, stage {broken.name}" if broken else f"job {job.short}"


def _words(error: OSError) -> Reason:
    return Reason("not-returned", f"{error.strerror or error}.", "The job's page has the picture.")
