"""The whole service at one look, for the page's head and `zoetrope status`."""

from __future__ import annotations

import time

from aiohttp import web

from ... import __version__
from ...runtime import Runtime
from ...summary import summary
from ..endpoint import JSON, Endpoint, reply
from ..views import HeldView, InboxView, StatusView
from .engines import engines


class StatusApi:
    """The request for the status."""

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
            )
        ]

    async def status(self, _: web.Request) -> web.Response:
        """Say how the service stands; answers even while the ledger is not open."""
        runtime = self._runtime
        counts = await runtime.ledger.counts() if runtime.ledger else {}
        queue = runtime.conductor.status() if runtime.conductor else None
        workers = queue.workers if queue else ()
        paused = queue.paused if queue else None
        problem = runtime.problem if runtime.ledger is None else None
        shown = StatusView(
            version=__version__,
            summary=summary(
                counts, workers, problem or paused, kept=queue.waiting if queue else None
            ),
            started=self._started,
            counts={str(state): number for state, number in counts.items()},
            paused=paused,
            problem=problem,
            engines=engines(runtime),
            inbox=self._inbox(),
            keep=runtime.keeper.status if runtime.keeper else None,
        )
        return reply(shown)

    def _inbox(self) -> InboxView | None:
        if self._runtime.watcher is None:
            return None
        status = self._runtime.watcher.status
        taking = self._runtime.intake.status if self._runtime.intake else None
        return InboxView(
            path=str(self._runtime.settings.inbox.path),
            mode=status.mode,
            last_scan=status.last_scan,
            problem=status.problem or (taking.problem if taking else None),
            unreadable=tuple(status.unreadable),
            held=tuple(
                HeldView(name=held.name, reason=held.reason)
                for held in (taking.held if taking else ())
            ),
        )
