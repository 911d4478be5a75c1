"""Is the service alive, and is it ready: for people, for load balancers, and for monitoring."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ...health.base import Health, Report

STATUS = {"ok": 200, "degraded": 200, "failing": 503}


class HealthApi:
    """The requests about health."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of this area."""
        return [web.get("/healthz", self.alive), web.get("/readyz", self.ready)]

    async def alive(self, _: web.Request) -> web.Response:
        """Answer at all: the process lives and its event loop turns."""
        return web.json_response({"status": "alive"})

    async def ready(self, request: web.Request) -> web.Response:
        """Give every check's verdict; 503 only when something does not work."""
        report = await self._health.report()
        status = STATUS[report.level]
        if request.query.get("format") == "text":
            return web.Response(text=as_text(report), status=status)
        return web.Response(
            body=msgspec.json.encode(report), status=status, content_type="application/json"
        )


def as_text(report: Report) -> str:
    """Write a report as lines for a terminal."""
    lines: list[str] = [report.level]
    for verdict in report.checks:
        lines.append(f"{verdict.level:<9} {verdict.name:<8} {verdict.found}")
        if verdict.next_step:
            lines.append(f"{'':<18} next: {verdict.next_step}")
    return "\n".join(lines) + "\n"
