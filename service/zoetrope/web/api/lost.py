"""Lost work over HTTP: what waits in lost+found, how it becomes a job again, and how it goes."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from ...jobs.lost_work import LostNote
from ...runtime import Runtime
from ..endpoint import JSON, Endpoint, read_query, reply
from ..forms import MOST
from ..lost_views import LostPage
from ..views import JobView, view


class LostListing(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the list is wanted."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST, description="How many at most.")] = 50
    after: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[0-9a-f]{0,32}$(?!\n)", description="The cursor `next` of the page before."
        ),
    ] = ""


class LostApi:
    """The requests about lost work."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/lost",
                handler=self.lost,
                gives={JSON: LostPage},
                query=LostListing,
                problems=(400,),
            ),
            Endpoint(
                method="POST",
                path="/api/v1/lost/{id}/recover",
                handler=self.recover,
                gives={JSON: JobView},
                status=201,
                problems=(404, 409, 422, 507),
            ),
            Endpoint(
                method="POST",
                path="/api/v1/lost/{id}/discard",
                handler=self.discard,
                gives={JSON: LostNote},
                problems=(404, 422),
            ),
        ]

    async def lost(self, request: web.Request) -> web.Response:
        """List the work that the ledger knows nothing of."""
        asked = read_query(request, LostListing)
        found, total = await self._runtime.need_readmission().page(asked.after, asked.limit + 1)
        shown, more = found[: asked.limit], found[asked.limit :]
        page = LostPage(
            lost=tuple(shown),
            total=total,
            folder=str(self._runtime.settings.lost),
            next=shown[-1].job if more else None,
        )
        return reply(page)

    async def recover(self, request: web.Request) -> web.Response:
        """Make a job of lost work, with its ticket; asked for again by its whole id, it is the same job."""
        job = await self._runtime.need_readmission().readmit(request.match_info["id"])
        response = reply(view(job, self._runtime.settings.outbox.path), status=201)
        response.headers["Location"] = f"/api/v1/jobs/{job.id}"
        return response

    async def discard(self, request: web.Request) -> web.Response:
        """Remove lost work for good; the answer says what it was, and in `size` what that freed."""
        return reply(await self._runtime.need_readmission().discard(request.match_info["id"]))
