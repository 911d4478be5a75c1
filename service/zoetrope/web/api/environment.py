"""What engines have besides a graph, over HTTP: asked before something is made again."""

from __future__ import annotations

import asyncio
from typing import Literal

from aiohttp import web

from ...inbox.submissions import names_version
from ...jobs.environment import environment
from ...jobs.worker import WorkerStatus
from ...runtime import Runtime
from ..endpoint import JSON, Endpoint, read_body, reply
from ..environment_views import EngineEnvironment, EnvironmentForm, Environments

HOW = 'Send {"models": ["vae/wan_2.1_vae.safetensors"]} as application/json.'


class EnvironmentApi:
    """The request about what a video would be made with."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="POST",
                path="/api/v1/environment",
                handler=self.look,
                gives={JSON: Environments},
                takes={JSON: EnvironmentForm},
                problems=(400, 413, 415),
            )
        ]

    async def look(self, request: web.Request) -> web.Response:
        """Say which model files, node packs and packages each engine has, and whether a recipe's version is kept."""
        asked = await read_body(request, EnvironmentForm, how=HOW)
        workers = self._runtime.need_conductor().status().workers
        engines = [await self._engine(worker, asked.models) for worker in workers]
        return reply(Environments(engines=tuple(engines), recipe=await self._recipe(asked)))

    async def _engine(self, worker: WorkerStatus, models: tuple[str, ...]) -> EngineEnvironment:
        if (stats := worker.stats) is None:
            return EngineEnvironment(name=worker.name, up=worker.up)
        return EngineEnvironment(
            name=worker.name,
            up=worker.up,
            version=stats.version,
            attention=stats.attention,
            memory=stats.gigabytes,
            environment=await environment(self._runtime.need_hashes(), worker.url, stats, models),
        )

    async def _recipe(
        self, asked: EnvironmentForm
    ) -> Literal["kept", "current", "files", "unknown"]:
        recipes, version = self._runtime.need_recipes(), asked.recipe_version
        if not version:
            return "unknown"
        if await asyncio.to_thread(recipes.versions.has, version):
            return "kept"
        if await asyncio.to_thread(recipes.find_version, version, asked.recipe) is not None:
            return "current"
        known = await names_version(self._runtime.need_ledger(), asked.job, version)
        return "files" if known else "unknown"
