"""The whole service at one look, for the page's head and `zoetrope status`."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web

from ... import __version__
from ...systemd import summary
from ..parts import LaneStatus, Parts
from ..views import EngineView, HeldView, InboxView, StatusView


class StatusApi:
    """The request for the status."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = time.time()

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of this area."""
        return [web.get("/api/v1/status", self.status)]

    async def status(self, _: web.Request) -> web.Response:
        """Say how the service stands; answers even while the ledger is not open."""
        parts = self._parts
        counts = await parts.ledger.counts() if parts.ledger else {}
        queue = parts.conductor.status() if parts.conductor else None
        lanes = queue.lanes if queue else ()
        paused = queue.paused if queue else None
        problem = parts.problem if parts.ledger is None else None
        shown = StatusView(
            version=__version__,
            summary=summary(counts, lanes, problem or paused),
            started=self._started,
            counts={str(state): number for state, number in counts.items()},
            paused=paused,
            problem=problem,
            engines=tuple(_engine(lane) for lane in lanes),
            inbox=self._inbox(),
        )
        return web.Response(body=msgspec.json.encode(shown), content_type="application/json")

    def _inbox(self) -> InboxView | None:
        if self._parts.watcher is None:
            return None
        status = self._parts.watcher.status
        taking = self._parts.intake.status if self._parts.intake else None
        return InboxView(
            path=str(self._parts.settings.inbox.path),
            mode=status.mode,
            last_scan=status.last_scan,
            problem=status.problem or (taking.problem if taking else None),
            unreadable=tuple(status.unreadable),
            held=tuple(
                HeldView(name=held.name, reason=held.reason)
                for held in (taking.held if taking else ())
            ),
        )


def _engine(lane: LaneStatus) -> EngineView:
    view = EngineView(
        name=lane.name,
        url=lane.url,
        up=lane.up,
        since=lane.since,
        reason=lane.reason,
        in_hand=tuple(lane.in_hand),
    )
    if (stats := lane.stats) is None:
        return view
    return msgspec.structs.replace(
        view,
        version=stats.version,
        device=stats.device,
        vram_total=stats.vram_total,
        vram_free=stats.vram_free,
        rehearsal=stats.rehearsal,
    )
