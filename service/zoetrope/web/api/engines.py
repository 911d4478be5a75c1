"""The engines over HTTP."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from ...engine.flag_request import line
from ...errors import NotFound
from ...jobs.worker import WorkerStatus
from ...runtime import Runtime
from ...settings import EngineSettings
from ..endpoint import JSON, Endpoint, reply
from ..views import Engines, EngineView, FlagsView


class EnginesApi:
    """The requests about the engines."""

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
            ),
            Endpoint(
                method="GET",
                path="/api/v1/engines/{name}/flags",
                handler=self.flags,
                gives={JSON: FlagsView},
                problems=(404, 503),
            ),
            Endpoint(
                method="POST",
                path="/api/v1/engines/{name}/forget-flags",
                handler=self.forget_flags,
                gives={JSON: FlagsView},
                problems=(404, 503),
            ),
        ]

    async def listing(self, _: web.Request) -> web.Response:
        """List every engine, whether it answers, and which jobs it has in hand."""
        self._runtime.need_conductor()
        return reply(Engines(engines=engines(self._runtime)))

    async def flags(self, request: web.Request) -> web.Response:
        """Say which launch flags the service asks for at an engine's next start, and why."""
        settings = self._askable(request.match_info["name"])
        asked = await asyncio.to_thread(self._runtime.need_flag_requests().asked, settings.name)
        return reply(FlagsView(engine=settings.name, asked=asked))

    async def forget_flags(self, request: web.Request) -> web.Response:
        """Ask no more for the launch flags that were learned from failures."""
        settings = self._askable(request.match_info["name"])
        requests = self._runtime.need_flag_requests()
        forgotten = await asyncio.to_thread(requests.forget, settings.name)
        asked = await asyncio.to_thread(requests.asked, settings.name)
        unit = settings.restart.unit if settings.restart is not None else None
        way = f"sudo systemctl restart {unit}" if unit is not None else "restart it"
        step = (
            f"{settings.name} keeps the flags that it was started with until its next start: {way}."
        )
        return reply(
            FlagsView(
                engine=settings.name,
                asked=asked,
                forgotten=forgotten,
                next_step=step if forgotten else "",
            )
        )

    def _askable(self, name: str) -> EngineSettings:
        """Find an engine whose start can be asked for flags."""
        requests = self._runtime.need_flag_requests()
        for each in self._runtime.settings.engines:
            if each.name == name and requests.has(name):
                return each
        there = ", ".join(each.name for each in self._runtime.settings.engines)
        raise NotFound(
            f"No engine {line(name)!r} can be asked for launch flags: it is none of the settings, or has no"
            " engines.flag_request.",
            f"The engines are: {there}.",
            key="engine-not-found",
        )


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
