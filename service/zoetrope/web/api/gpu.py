"""The GPUs: how they are, what finished videos used, and which profile is applied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from aiohttp import web

from ...domain.job import Job, State
from ...domain.query import JobQuery
from ...errors import LedgerError
from ...gpu.report import ReportRow, ReportVideo, tabulate
from ...gpu.wire import Apply, Reset
from ...runtime import Runtime
from ..endpoint import JSON, Endpoint, read_body, read_query, reply
from ..views import CardView, GpuView

PAGE = 200
MOST = 10_000


class VideosWanted(msgspec.Struct, frozen=True):
    """How many of the last finished videos count."""

    last: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 1000


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which profile is wanted; null gives the GPU back to the settings."""

    profile: str | None = None


class GpuApi:
    """The requests about GPUs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        refused = (400, 404, 409, 413, 415, 503)
        return [
            Endpoint(method="GET", path="/api/v1/gpu", handler=self.cards, gives={JSON: GpuView}),
            Endpoint(
                method="GET",
                path="/api/v1/gpu/report",
                handler=self.report,
                gives={JSON: tuple[ReportRow, ...]},
                query=VideosWanted,
                problems=(400,),
            ),
            Endpoint(
                method="POST",
                path="/api/v1/gpu/{uuid}/apply",
                handler=self.apply,
                gives={JSON: GpuView},
                takes={JSON: Wish},
                problems=refused,
            ),
            Endpoint(
                method="POST",
                path="/api/v1/gpu/{uuid}/reset",
                handler=self.reset,
                gives={JSON: GpuView},
                problems=refused,
            ),
        ]

    async def cards(self, _: web.Request) -> web.Response:
        """List every GPU with its state."""
        return reply(self._view())

    async def report(self, request: web.Request) -> web.Response:
        """Say what the last finished videos took, by recipe, GPU and profile."""
        last = read_query(request, VideosWanted).last
        return reply(tabulate([video async for video in self._videos(last)]))

    async def apply(self, request: web.Request) -> web.Response:
        """Apply a profile to a GPU, until another one is applied."""
        wish = await read_body(request, Wish, how='Send JSON such as {"profile": "baseline"}.')
        return await self._ask(Apply(card=request.match_info["uuid"], profile=wish.profile))

    async def reset(self, request: web.Request) -> web.Response:
        """Reset a GPU to stock, until a profile is applied."""
        return await self._ask(Reset(card=request.match_info["uuid"]))

    async def _ask(self, question: Apply | Reset) -> web.Response:
        if (tuner := self._runtime.tuner) is None:
            raise LedgerError(
                "The service is still starting.", "Try again in a moment.", key="starting"
            )
        await tuner.order(question)
        return reply(self._view())

    def _view(self) -> GpuView:
        if (tuner := self._runtime.tuner) is None:
            return GpuView()
        watch = tuner.watch
        return GpuView(
            cards=tuple(
                CardView(
                    card=card,
                    reading=watch.latest.get(card.uuid),
                    lost=watch.lost.get(card.uuid),
                    state=tuner.states.get(card.uuid),
                )
                for card in watch.cards
            ),
            problem=watch.problem or (tuner.problem if tuner.wanted else None),
        )

    async def _videos(self, last: int) -> AsyncIterator[ReportVideo]:
        if (ledger := self._runtime.ledger) is None:
            return
        question = JobQuery(states=(State.DONE,), limit=min(PAGE, last))
        while last > 0:
            rows = await ledger.page(question)
            for row in rows:
                yield _video(row.job)
            if len(rows) < question.limit:
                return
            last -= len(rows)
            question = msgspec.structs.replace(question, before=rows[-1].seq, limit=min(PAGE, last))


def _video(job: Job) -> ReportVideo:
    """Take the attempt of each stage that made its files; a video that was measured in part counts as none."""
    usages = [stage.attempts[-1].gpu for stage in job.stages if stage.attempts]
    known = tuple(usage for usage in usages if usage is not None)
    return ReportVideo(job.ticket.recipe, known if len(known) == len(usages) else ())
