"""Rows of the ledger as jobs: what is written can be read back, and what cannot be read is named and left out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import msgspec

from ..domain.job import Job
from ..errors import LedgerError, NotFound, Rejected

log = logging.getLogger("zoetrope.jobs")

# All that a decoder makes of bytes that were damaged, or that another version wrote; an encoder, of no text.
BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError, TypeError)


class Unkept(Rejected):
    """A job holds a value that would not be read back as it is."""

    key = "unkept"

    def __init__(self, job: Job, why: str) -> None:
        super().__init__(
            f"Job {job.short} cannot be kept: {why}.",
            "Ask for finite numbers of usual size; if the ticket has no others, please report this.",
        )


class UnreadableJob(NotFound, LedgerError):
    """There is a row of that id, and nothing can be made of it; it concerns this job alone."""

    key = "job-unreadable"

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(
            f"The ledger's row of job {job_id[:8]} cannot be read ({why}).",
            f"Its files are kept in the state folder's work/{job_id}. If a newer zoetrope wrote it, run"
            " that one; else drop the picture again, and please report this.",
        )


def unknown(job_id: str) -> NotFound:
    """Say that there is no such job."""
    return NotFound(f"There is no job {job_id!r}.", "`zoetrope jobs` lists them.")


def same_id(before: Job, after: Job) -> Job:
    """Give what a step made of a job; Unkept if it made another job of it."""
    if after.id != before.id:
        raise Unkept(before, "a step would give it another id")
    return after


class Rows:
    """Turns jobs into what the ledger holds, and back."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Job).decode
        self._encode = msgspec.json.Encoder().encode
        self._unreadable: dict[str, str] = {}

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The ids of the rows that could not be read so far, each with the reason."""
        return dict(self._unreadable)

    def written(self, job: Job) -> bytes:
        """Give a job's bytes; Unkept if they would not be read back as the same job."""
        try:
            body = self._encode(job)
            # JSON has no word for what is no finite number; it becomes null without a sound.
            if self._decode(body) == job:
                return body
        except BROKEN as error:
            raise Unkept(job, str(error)) from error
        raise Unkept(job, "a value of it is not the same when it is read")

    def read(self, job_id: str, body: bytes) -> Job:
        """Give a row's job, or UnreadableJob; which row that is, is logged once."""
        try:
            job = self._decode(body)
        except BROKEN as error:
            why = str(error)[:200]
            if job_id not in self._unreadable:
                extra = {"job": job_id[:8], "action": "job-unreadable"}
                log.error("%s", UnreadableJob(job_id, why), extra=extra)  # noqa: TRY400 - it says all
            self._unreadable[job_id] = why
            raise UnreadableJob(job_id, why) from error
        if self._unreadable:
            self._unreadable.pop(job_id, None)
        return job

    def readable(self, job_id: str, body: bytes) -> Job | None:
        """Give a row's job; None if it cannot be read."""
        try:
            return self.read(job_id, body)
        except UnreadableJob:
            return None

    def first(self, rows: Iterable[tuple[str, bytes]]) -> Job | None:
        """Give the first job that can be read."""
        return next((job for row in rows if (job := self.readable(*row)) is not None), None)
