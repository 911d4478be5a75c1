"""A row of wrong answers: an engine, or a proxy before it, may be out of order for a while, and no picture pays for that."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..domain import steps
from ..domain.values import Failure
from ..errors import Reason, WrongAnswer
from ..store.protocol import JobStore
from .absence import WAITS

# An attempt fails after so many at least, and not before so much time: a proxy is put right by a person.
MOST = 8
SECONDS = 600.0
# Between two tries, once the first ones are over.
LONGEST_PAUSE = 30.0
# A single one is not worth a line.
QUIET = 3


class WrongAnswers:
    """Counts those of one attempt that come one after the other, and has the job say that it waits."""

    def __init__(
        self,
        ledger: JobStore,
        job_id: str,
        engine: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._engine = engine
        self._clock = clock
        self._monotonic = monotonic
        self._count = 0
        self._since = 0.0

    async def another(self, error: WrongAnswer) -> Failure | None:
        """Count one more; a failure where the engine has given no others for long enough."""
        now = self._monotonic()
        self._since = self._since if self._count else now
        self._count += 1
        if self._count > MOST and now - self._since >= SECONDS:
            return Failure(kind=error.reason.key, message=error.reason.sentence)
        if self._count > QUIET:
            said = f"It waits for the engine {self._engine}: {error.reason.sentence}"
            reason = Reason(WAITS, said, error.reason.next_step)
            await self._ledger.change(
                self._job_id, lambda job: steps.wait(job, self._clock(), reason)
            )
        return None

    async def over(self) -> None:
        """The engine has given an answer that can be right."""
        count, self._count = self._count, 0
        if count > QUIET:
            await self._ledger.change(
                self._job_id, lambda job: steps.waits_no_more(job, self._clock(), WAITS)
            )
