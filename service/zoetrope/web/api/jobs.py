"""Jobs over HTTP: list, look, upload, and decide."""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec
from aiohttp import web

from ...errors import LedgerError
from ...jobs.job import Job, State
from ...mistakes import nearest
from ..parts import Conductor, Intake, Ledger, Parts
from ..problems import BadRequest
from ..views import JobPage, JobView, view
from .upload import receive

MOST = 200  # jobs a page


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a decision: why, in the person's own words."""

    why: str = ""


class Jobs:
    """The requests about jobs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of this area."""
        return [
            web.get("/api/v1/jobs", self.listing),
            web.post("/api/v1/jobs", self.create),
            web.get("/api/v1/jobs/{id}", self.one),
            web.post("/api/v1/jobs/{id}/approve", self.approve),
            web.post("/api/v1/jobs/{id}/decline", self.decline),
            web.post("/api/v1/jobs/{id}/cancel", self.cancel),
            web.post("/api/v1/jobs/{id}/retry", self.retry),
        ]

    async def listing(self, request: web.Request) -> web.Response:
        """List jobs, newest first, a page at a time."""
        states = _states(request.query.get("state", ""))
        limit = _number(request, "limit", 50, least=1, most=MOST)
        before = _number(request, "before", None, least=0, most=2**62)
        # One row more than asked for tells whether there is a next page.
        rows = await self._ledger.page(states, limit=(limit or 0) + 1, before=before)
        shown, more = rows[:limit], rows[limit:]
        return _json(
            JobPage(
                jobs=tuple(self._view(row.job) for row in shown),
                next=str(shown[-1].seq) if more else None,
            )
        )

    async def one(self, request: web.Request) -> web.Response:
        """Show one job."""
        return _json(self._view(await self._find(request)))

    async def create(self, request: web.Request) -> web.Response:
        """Make a job of an uploaded picture; `?parent=ID` asks for an earlier job once more."""
        intake = self._intake
        parent = request.query.get("parent", "")
        if not re.fullmatch(r"([0-9a-f]{32})?", parent):
            raise BadRequest(f"The parent {parent[:40]!r} is no job's id.", key="parent")
        settings = self._parts.settings
        async with receive(
            request,
            settings.state.path / "uploads",
            limit=settings.web.max_upload_megabytes * 1024 * 1024,
        ) as upload:
            job = await intake.take_upload(
                *upload.image, upload.ticket, end=upload.end, parent=parent
            )
        response = _json(self._view(job), status=201)
        response.headers["Location"] = f"/api/v1/jobs/{job.id}"
        return response

    async def approve(self, request: web.Request) -> web.Response:
        """Let a reviewed job go on."""
        await _why(request)
        job = await self._find(request)
        return _json(self._view(await self._conductor.approve(job.id)))

    async def decline(self, request: web.Request) -> web.Response:
        """End a reviewed job."""
        why = await _why(request)
        job = await self._find(request)
        return _json(self._view(await self._conductor.decline(job.id, why)))

    async def cancel(self, request: web.Request) -> web.Response:
        """Take a job back."""
        why = await _why(request)
        job = await self._find(request)
        return _json(self._view(await self._conductor.cancel(job.id, why)))

    async def retry(self, request: web.Request) -> web.Response:
        """Try a failed or cancelled job again."""
        await _why(request)
        job = await self._find(request)
        return _json(self._view(await self._conductor.retry(job.id)))

    async def _find(self, request: web.Request) -> Job:
        return await self._ledger.find(request.match_info["id"].lower())

    def _view(self, job: Job) -> JobView:
        conductor = self._parts.conductor
        live = conductor.live(job.id) if conductor is not None else None
        return view(job, self._parts.settings.outbox.path, live)

    @property
    def _ledger(self) -> Ledger:
        return self._parts.ledger or self._missing()

    @property
    def _conductor(self) -> Conductor:
        return self._parts.conductor or self._missing()

    @property
    def _intake(self) -> Intake:
        return self._parts.intake or self._missing()

    def _missing(self) -> NoReturn:
        raise unavailable(self._parts)


def unavailable(parts: Parts) -> LedgerError:
    """Say why the parts that know of jobs are not there."""
    if (reason := parts.problem) is not None:
        return LedgerError(reason.sentence, reason.next_step, key=reason.key)
    return LedgerError("The service is still starting.", "Try again in a moment.", key="starting")


def _states(text: str) -> list[State]:
    states = []
    for name in filter(None, text.split(",")):
        try:
            states.append(State(name))
        except ValueError:
            raise BadRequest(
                f"There is no state {name!r}; {nearest(name, list(State))}", key="state"
            ) from None
    return states


def _number(
    request: web.Request, name: str, default: int | None, *, least: int, most: int
) -> int | None:
    text = request.query.get(name)
    if text is None:
        return default
    # A number of a query is plain digits: int() alone would take "1_0" and " 7".
    if not (text.isascii() and text.isdecimal() and least <= int(text[:20]) <= most):
        raise BadRequest(
            f"The query's {name} is {text[:40]!r}; allowed is a whole number from {least} to {most}.",
            key=name,
        )
    return int(text)


async def _why(request: web.Request) -> str:
    """Read a decision's body, which may be absent."""
    body = await request.read()
    if not body:
        return ""
    try:
        return msgspec.json.decode(body, type=Why).why[:1000]
    except msgspec.DecodeError as error:
        raise BadRequest(
            f"The body cannot be read: {error}.", 'Send {"why": "..."} or no body at all.'
        ) from error


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )
