"""What would go wrong in a graph, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from aiohttp import web

from ...lint.findings import Finding
from ..endpoint import JSON, Endpoint, read_body, reply
from ..parts import Parts

MOST_BYTES = 8 * 1024 * 1024
HOW = 'Send {"graph": {...}} with the graph in API format.'


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph in API format, and what is known beside it."""

    graph: dict[str, Any]
    memory_gb: Annotated[float, msgspec.Meta(gt=0, le=1024)] | None = None
    tags: tuple[str, ...] = ()


class Findings(msgspec.Struct, frozen=True):
    """What is to be said of it, the worst first."""

    findings: tuple[Finding, ...] = ()


class LintApi:
    """The request for a reading."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="POST",
                path="/api/v1/lint",
                handler=self.lint,
                gives={JSON: Findings},
                takes={JSON: Reading},
                needs_body=True,
                problems=(400, 413, 415),
            )
        ]

    async def lint(self, request: web.Request) -> web.Response:
        """Read a graph as every job's is read before an engine hears of it."""
        large = request.clone(client_max_size=MOST_BYTES)
        asked = await read_body(large, Reading, how=HOW)
        return reply(Findings(await asyncio.to_thread(self._read, asked)))

    def _read(self, asked: Reading) -> tuple[Finding, ...]:
        from ...lint.engine import lint
        from ...lint.facts import Host, Recipe, pinned_context

        context = pinned_context(
            host=Host(memory_gb=asked.memory_gb),
            recipe=Recipe(tags=frozenset(asked.tags)),
            ignore=self._parts.settings.lint.ignore,
        )
        return lint(asked.graph, context)
