"""The cards: how they are, what finished videos took of them, and at which profile they work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from ...errors import Reason
from ...gpu.card import Card, Reading
from ...gpu.report import Video, tabulate
from ...gpu.wire import Apply, CardState, Reset
from ...jobs.job import Job, State
from ..parts import Parts
from ..problems import BadRequest
from .jobs import unavailable

PAGE = 200
MOST = 10_000


class CardView(msgspec.Struct, frozen=True, kw_only=True):
    """One card: what it is, how it is now, and how the helper keeps it."""

    card: Card
    reading: Reading | None = None
    lost: Reason | None = None
    state: CardState | None = None


class GpuView(msgspec.Struct, frozen=True, kw_only=True):
    """All cards; `problem` says why the driver or the helper cannot be asked."""

    cards: tuple[CardView, ...] = ()
    problem: Reason | None = None


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which profile is wanted; null gives the card back to the settings."""

    profile: str | None = None


class GpuApi:
    """The requests about cards."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of this area."""
        return [
            web.get("/api/v1/gpu", self.cards),
            web.get("/api/v1/gpu/report", self.report),
            web.post("/api/v1/gpu/{uuid}/apply", self.apply),
            web.post("/api/v1/gpu/{uuid}/reset", self.reset),
        ]

    async def cards(self, _: web.Request) -> web.Response:
        """Say how every card is."""
        return _json(self._view())

    async def report(self, request: web.Request) -> web.Response:
        """Say what the last finished videos took, by recipe, card and profile."""
        text = request.query.get("last", "1000")
        if not text.isdecimal() or not 1 <= int(text) <= MOST:
            raise BadRequest(f"last is {text[:40]!r}; allowed is a number from 1 to {MOST}.")
        videos = [video async for video in self._videos(int(text))]
        return _json(tabulate(videos))

    async def apply(self, request: web.Request) -> web.Response:
        """Bring a card to a profile now, and until told otherwise."""
        try:
            wish = msgspec.json.decode(await request.read() or b"{}", type=Wish)
        except msgspec.DecodeError as error:
            raise BadRequest(f"That is no wish for a profile ({error}).") from error
        return await self._ask(Apply(card=request.match_info["uuid"], profile=wish.profile))

    async def reset(self, request: web.Request) -> web.Response:
        """Bring a card back to stock, now and until told otherwise."""
        return await self._ask(Reset(card=request.match_info["uuid"]))

    async def _ask(self, question: Apply | Reset) -> web.Response:
        if (tuner := self._parts.tuner) is None:
            raise unavailable(self._parts)
        await tuner.order(question)
        return _json(self._view())

    def _view(self) -> GpuView:
        if (tuner := self._parts.tuner) is None:
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

    async def _videos(self, last: int) -> AsyncIterator[Video]:
        if (ledger := self._parts.ledger) is None:
            return
        before: int | None = None
        while last > 0:
            rows = await ledger.page([State.DONE], limit=min(PAGE, last), before=before)
            for row in rows:
                yield _video(row.job)
            if len(rows) < PAGE:
                return
            before = rows[-1].seq
            last -= len(rows)


def _video(job: Job) -> Video:
    """Take the attempt of each stage that made its files; a video that was measured in part counts as none."""
    usages = [stage.attempts[-1].gpu for stage in job.stages if stage.attempts]
    known = tuple(usage for usage in usages if usage is not None)
    return Video(job.ticket.recipe, known if len(known) == len(usages) else ())


def _json(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
