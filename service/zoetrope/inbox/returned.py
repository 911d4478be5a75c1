"""Pictures whose jobs came to nothing later: given back to people, with the reason in words."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

from ..beneath import Beneath, Linked
from ..domain.job import Job
from ..errors import Reason
from ..settings import Settings

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
                    "the picture could not be laid into %s/rejected: %s",
                    home,
                    reason,
                    extra={"job": job.short, "action": "not-returned"},
                )
            else:
                return

    def _lay(self, job: Job, home: Path) -> None:
        folder = f"rejected/{job.folder}" if job.folder else "rejected"
        with Beneath(home) as tree:
            tree.make(folder)
            names = []
            for still in job.stills:
                name = _free(tree, folder, still.name, job.short)
                source = self._work / job.id / still.source
                with source.open("rb") as file, tree.replacing(f"{folder}/{name}") as made:
                    shutil.copyfileobj(file, made)
                names.append(name)
            title = names[0] if names else f"{job.stem}-{job.short}"
            tree.write(f"{folder}/{title}.why.txt", reason_text(job, title).encode())


def _words(error: OSError) -> Reason:
    return Reason("not-returned", f"{error.strerror or error}.", "The job's page has the picture.")


def reason_text(job: Job, title: str) -> str:
    """Write the reason for people who see only the share."""
    reason = job.reason
    lines = [f"{title} did not become a video.", ""]
    if reason is not None:
        lines += [reason.sentence, ""]
        if reason.next_step:
            lines += [f"What to do: {reason.next_step}", ""]
    lines += [
        "To try again, move the picture back into the inbox,",
        f"or go on from where it stopped: zoetrope retry {job.short}",
    ]
    return "\n".join(lines) + "\n"


def _free(tree: Beneath, folder: str, name: str, short: str) -> str:
    """Keep the person's name; where it is taken by another file, the job's id goes into it."""
    clean = Path(os.fsdecode(os.fsencode(name))).name
    if not tree.exists(f"{folder}/{clean}"):
        return clean
    path = Path(clean)
    return f"{path.stem}-{short}{path.suffix}"
