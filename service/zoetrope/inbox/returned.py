"""Pictures whose jobs came to nothing later: given back to people, with the reason in words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from pathlib import Path

from ..domain.job import Job
from ..settings import Settings

log = logging.getLogger("zoetrope.inbox")


class Returned:
    """Lays a copy of a failed job's picture into `rejected/`; moved back into the inbox, it is tried again."""

    def __init__(self, settings: Settings) -> None:
        self._work = settings.work
        self._homes = (
            (settings.inbox.path / "rejected", settings.outbox.path / "rejected")
            if settings.inbox.claim == "move"
            else (settings.outbox.path / "rejected",)
        )

    async def explain(self, job: Job) -> None:
        """Give a job's pictures back with the reason; a share that cannot be written is only logged."""
        log.warning("%s", job.reason, extra={"job": job.short, "action": str(job.state)})
        for home in self._homes:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._lay, job, home)
                return

    def _lay(self, job: Job, home: Path) -> None:
        if not home.parent.is_dir():
            raise FileNotFoundError(home.parent)
        folder = home / job.folder
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for still in job.stills:
            name = _free(folder, still.name, job.short)
            part = folder / f".{name}.part"
            shutil.copyfile(self._work / job.id / still.source, part)
            part.replace(folder / name)
            names.append(name)
        title = names[0] if names else f"{job.stem}-{job.short}"
        (folder / f"{title}.why.txt").write_text(reason_text(job, title), encoding="utf-8")


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


def _free(folder: Path, name: str, short: str) -> str:
    """Keep the person's name; where it is taken by another file, the job's id goes into it."""
    clean = Path(os.fsdecode(os.fsencode(name))).name
    if not (folder / clean).exists():
        return clean
    path = Path(clean)
    return f"{path.stem}-{short}{path.suffix}"
