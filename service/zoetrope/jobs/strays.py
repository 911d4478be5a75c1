"""Strays: prompts of ours at an engine that no job waits for any more, so that no job is made twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..engine.protocol import Engine, Finished, QueueEntry
from ..errors import NotFound, ZoetropeError
from ..store.protocol import JobStore

log = logging.getLogger("zoetrope.jobs")


class Strays:
    """Takes one engine's strays back, such as those of jobs that moved while it was away."""

    def __init__(self, engine: Engine, ledger: JobStore) -> None:
        self._engine = engine
        self._ledger = ledger
        self._moved: dict[str, str] = {}  # prompts whose jobs moved, with their jobs
        self._reported: set[str] = set()

    def add(self, prompt_id: str, job_id: str) -> None:
        """Remember the prompt of a job that moved to another engine."""
        self._moved[prompt_id] = job_id

    async def clear(self, queue: Sequence[QueueEntry]) -> None:
        """Take back what of ours stands in the engine's queue and is no job's open attempt."""
        try:
            for entry in queue:
                if entry.job and await self._is_stray(entry):
                    await self._withdraw(entry)
            for prompt_id, job_id in list(self._moved.items()):
                await self._report_result(prompt_id, job_id)
            self._reported &= {entry.prompt_id for entry in queue}
        except (ZoetropeError, OSError) as error:
            # The next look comes soon.
            log.warning("%s", error, extra={"action": "strays", "engine": self._engine.name})

    async def _is_stray(self, entry: QueueEntry) -> bool:
        try:
            job = await self._ledger.get(entry.job)
        except NotFound:
            # A ledger that was restored does not know it; the prompt may be all there is.
            return False
        # An attempt is written down before its prompt is sent. Should one of that id be sent right now, after
        # a pause, and be removed here, its stage run notices that and sends it again.
        return job.attempt is None or job.attempt.prompt_id != entry.prompt_id

    async def _withdraw(self, entry: QueueEntry) -> None:
        await self._engine.withdraw(entry.prompt_id)
        self._moved.pop(entry.prompt_id, None)
        if entry.prompt_id not in self._reported:
            self._reported.add(entry.prompt_id)
            log.warning(
                "%s still had a prompt of it, which is %s: the job has ended or moved",
                self._engine.name,
                "interrupted" if entry.running else "removed from its queue",
                extra={"job": entry.job[:8], "action": "stray", "engine": self._engine.name},
            )

    async def _report_result(self, prompt_id: str, job_id: str) -> None:
        """Say what became of a moved job's prompt once its engine is back."""
        place = await self._engine.whereabouts(prompt_id)
        del self._moved[prompt_id]
        if isinstance(place, Finished):
            log.warning(
                "%s had finished a prompt of it: its result is ignored, since the job moved",
                self._engine.name,
                extra={"job": job_id[:8], "action": "stray", "engine": self._engine.name},
            )
