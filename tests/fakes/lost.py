"""Lost work as it lies on the disk: a picture, and what the job was accepted as."""

from __future__ import annotations

from tests.web.fakes import make_job
from zoetrope.domain.job import Job
from zoetrope.domain.values import Ticket
from zoetrope.jobs import work_note
from zoetrope.jobs.lost_work import LostWork
from zoetrope.settings import Settings

TICKET = Ticket(recipe="tiny", prompt="she turns")
FOUND = 1_750_000_000.0


def lose(
    settings: Settings,
    *,
    note: bool = True,
    video: str = "",
    body: bytes = b"a picture",
    **changes: object,
) -> Job:
    """Put the work of a job aside that no ledger knows."""
    job = make_job(**{"ticket": TICKET, **changes})
    folder = settings.work / job.id
    work_note.begin(folder)
    for image in job.images:
        (folder / image.source).write_bytes(body)
    if note:
        work_note.keep(folder, job)
    else:
        (folder / work_note.UNFINISHED).unlink()
    LostWork(settings.work, settings.lost).put_aside(job.id, FOUND, video)
    return job
