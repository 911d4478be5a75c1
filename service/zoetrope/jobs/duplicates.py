"""The job that has made, or makes, the same video: the same picture with the same ticket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from ..domain.job import Job, State
from ..store.protocol import JobStore


class Earlier(msgspec.Struct, frozen=True):
    """The job that was there first, and whether a user has taken its video away since."""

    job: Job
    gone: bool


async def find(
    ledger: JobStore, fingerprint: str, lacks_video: Callable[[Job], bool]
) -> Earlier | None:
    """Find it, as far as its files are not removed; `lacks_video` may block on the disk."""
    job = await ledger.find_duplicate(fingerprint)
    if job is None or job.removed:
        return None
    return Earlier(job, job.state is State.DONE and await asyncio.to_thread(lacks_video, job))
