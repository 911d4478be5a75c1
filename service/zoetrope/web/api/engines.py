"""The engines over HTTP."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ...jobs.worker import WorkerStatus
from ...runtime import Runtime
from ..endpoint import JSON, Endpoint, reply
from ..views import Engines, EngineView


class EnginesApi:
    """The request about the engines."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/engines",
                handler=self.listing,
                gives={JSON: Engines},
            )
        ]

    async def listing(self, _: web.Request) -> web.Response:
        """List every engine, whether it answers, and which jobs it has in hand."""
        self._runtime.need_conductor()
        return reply(Engines(engines=engines(self._runtime)))


def engines(runtime: Runtime) -> tuple[EngineView, ...]:
    """Show every engine; none while nobody speaks to them."""
    workers = runtime.conductor.status().workers if runtime.conductor else ()
    return tuple(_engine(worker) for worker in workers)


def _engine(worker: WorkerStatus) -> EngineView:
    view = EngineView(
        name=worker.name,
        url=worker.url,
        up=worker.up,
        since=worker.since,
        reason=worker.reason,
        in_hand=tuple(worker.in_hand),
        others=worker.others,
    )
    if (stats := worker.stats) is None:
        return view
    view = msgspec.structs.replace(
        view,
        version=stats.version,
        device=stats.device,
        vram_total=stats.vram_total,
        vram_free=stats.vram_free,
        rehearsal=stats.simulated,
        attention=stats.attention,
    )
    if (found := stats.runtime) is None:
        return view
    return msgspec.structs.replace(
        view,
        capability=found.capability,
        kernels=tuple(sorted(found.right)),
        flags=found.flags,
    )
