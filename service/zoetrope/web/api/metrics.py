"""The figures that a monitoring system asks for, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ...runtime import Runtime
from ..endpoint import Endpoint

if TYPE_CHECKING:
    from ..gauges import Gauges


class MetricsApi:
    """The request for metrics."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._gauges: Gauges | None = None

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(method="GET", path="/metrics", handler=self.metrics, gives={"text/plain": str})
        ]

    async def metrics(self, _: web.Request) -> web.Response:
        """Give every figure."""
        if self._gauges is None:
            # Late, because most hosts are asked by nobody.
            from ..gauges import Gauges

            self._gauges = Gauges(self._runtime)
        # As bytes: the content type names a version, which aiohttp's own setter rejects.
        body, content_type = await self._gauges.text()
        return web.Response(body=body, headers={"Content-Type": content_type})
