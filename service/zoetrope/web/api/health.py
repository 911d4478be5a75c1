"""Is the service alive, and is it ready: for people, for load balancers, and for monitoring."""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from ...health.base import Health, Report
from ..busy import Alive
from ..endpoint import JSON, Endpoint, read_query, reply

STATUS = {"ok": 200, "degraded": 200, "failing": 503}


class HealthForm(msgspec.Struct, frozen=True):
    """In which form the verdicts are wanted."""

    format: Literal["json", "text"] = "json"


class HealthApi:
    """The requests about health."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/healthz",
                handler=self.alive,
                gives={JSON: Alive},
            ),
            Endpoint(
                method="GET",
                path="/readyz",
                handler=self.ready,
                gives={JSON: Report, "text/plain": str},
                also=(503,),
                query=HealthForm,
                problems=(400,),
            ),
        ]

    async def alive(self, _: web.Request) -> web.Response:
        """Answer at all: the process lives and its event loop turns."""
        return reply(Alive())

    async def ready(self, request: web.Request) -> web.Response:
        """Give every check's verdict; 503 only when something does not work."""
        asked = read_query(request, HealthForm)
        report = await self._health.report()
        status = STATUS[report.level]
        if asked.format == "text":
            return web.Response(text=as_text(report), status=status)
        return reply(report, status)


def as_text(report: Report) -> str:
    """Write a report as lines for a terminal."""
    lines: list[str] = [report.level]
    for verdict in report.checks:
        lines.append(f"{verdict.level:<9} {verdict.name:<8} {verdict.found}")
        if verdict.next_step:
            lines.append(f"{'':<18} next: {verdict.next_step}")
    return "\n".join(lines) + "\n"
