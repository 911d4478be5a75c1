"""The whole service at one look, for the page's head and `zoetrope status`; and its pause."""

from __future__ import annotations

import time

from aiohttp import web

from ... import __version__
from ...domain.query import RecentFailures
from ...jobs.recent_failures import counted, look
from ...runtime import Runtime
from ...summary import summary
from ..endpoint import JSON, Endpoint, read_body, reply
from ..forms import PauseForm, ResumeForm
from ..views import FailuresView, FailureView, HeldView, InboxView, OutboxView, StatusView
from .engines import engines

HOW_PAUSE = 'Send {"minutes": 120} or {"now": true} as application/json, or no body at all.'
HOW_RESUME = 'Send {"now": true} as application/json, or no body at all.'
# Pictures that wait, or cannot be read, that are named; a closed folder may hold thousands.
NAMED = 20
FAILURES = 3  # of the last day that are named; all are counted


class StatusApi:
    """The requests for the status, and those that pause and resume."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._started = time.time()

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/status",
                handler=self.status,
                gives={JSON: StatusView},
            ),
            Endpoint(
                method="POST",
                path="/api/v1/pause",
                handler=self.pause,
                gives={JSON: StatusView},
                takes={JSON: PauseForm},
                problems=(400, 413, 415, 507),
            ),
            Endpoint(
                method="POST",
                path="/api/v1/resume",
                handler=self.resume,
                gives={JSON: StatusView},
                takes={JSON: ResumeForm},
                problems=(400, 413, 415, 507),
            ),
        ]

    async def status(self, _: web.Request) -> web.Response:
        """Say how the service stands; answers even while the ledger is not open."""
        return reply(await self._shown())

    async def pause(self, request: web.Request) -> web.Response:
        """Start no further stage; what runs goes on to the end of its stage, unless it is to stop now."""
        asked = await read_body(request, PauseForm, how=HOW_PAUSE)
        seconds = None if asked.minutes is None else 60 * asked.minutes
        await self._runtime.need_conductor().pause(seconds, now=asked.now)
        return reply(await self._shown())

    async def resume(self, request: web.Request) -> web.Response:
        """End the pause; outside the working hours no stage starts all the same, unless it is to start now."""
        asked = await read_body(request, ResumeForm, how=HOW_RESUME)
        await self._runtime.need_conductor().resume(now=asked.now)
        return reply(await self._shown())

    async def _shown(self) -> StatusView:
        runtime = self._runtime
        ledger = runtime.ledger
        counts = await ledger.counts() if ledger else {}
        failures = await look(ledger, time.time(), limit=FAILURES) if ledger else None
        queue = runtime.conductor.status() if runtime.conductor else None
        workers = queue.workers if queue else ()
        standstill = queue.standstill if queue else None
        outside = queue.outside_hours if queue else None
        full = queue.paused if queue else None
        problem = runtime.problem if runtime.ledger is None else None
        return StatusView(
            version=__version__,
            summary=summary(
                counts,
                workers,
                problem or full,
                kept=queue.waiting if queue else None,
                standstill=standstill,
                outside_hours=outside,
            ),
            started=self._started,
            counts={str(state): number for state, number in counts.items()},
            paused=full or (standstill.reason if standstill else None),
            standstill=standstill,
            outside_hours=outside,
            problem=problem,
            engines=engines(runtime),
            inbox=self._inbox(),
            outbox=OutboxView(
                path=str(runtime.settings.outbox.path), problem=queue.outbox if queue else None
            ),
            keep=runtime.keeper.status if runtime.keeper else None,
            failures=_failures(failures) if failures is not None else None,
        )

    def _inbox(self) -> InboxView | None:
        if self._runtime.watcher is None:
            return None
        status = self._runtime.watcher.status
        taking = self._runtime.intake.status if self._runtime.intake else None
        held = taking.held if taking else ()
        return InboxView(
            path=str(self._runtime.settings.inbox.path),
            mode=status.mode,
            last_scan=status.last_scan,
            problem=status.problem or (taking.problem if taking else None),
            unreadable=tuple(status.unreadable[:NAMED]),
            unreadable_count=len(status.unreadable),
            held=tuple(HeldView(name=each.name, reason=each.reason) for each in held[:NAMED]),
            held_count=len(held),
        )


def _failures(found: RecentFailures) -> FailuresView:
    return FailuresView(
        counts={str(state): number for state, number in found.counts.items()},
        sentence=counted(found),
        last=tuple(
            FailureView(
                id=job.id,
                short=job.short,
                state=str(job.state),
                name=job.name,
                ended=job.updated,
                reason=job.reason,
            )
            for job in found.last
        ),
    )
