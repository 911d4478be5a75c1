"""Jobs over HTTP: list, look, hand in, decide, and make again."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
from aiohttp import web

from ...domain import steps
from ...domain.job import Job, State
from ...domain.query import JobQuery
from ...errors import Rejected
from ...inbox.request_key import RepeatedRequests, RequestKey, request_key
from ...jobs.outbox import Piece, pieces
from ...runtime import Runtime
from ...store.protocol import JobStore
from ..endpoint import (
    JSON,
    Endpoint,
    raw_json,
    read_body,
    read_headers,
    read_json,
    read_query,
    reply,
)
from ..files import opened
from ..forms import (
    Creation,
    InboxForm,
    Listing,
    ReasonForm,
    Repeatable,
    TicketForm,
    UploadForm,
    values,
)
from ..views import JobPage, JobView, view
from .artefacts import place
from .upload import FORM, Upload, receive, room

HOW_WHY = 'Send {"why": "..."} as application/json, or no body at all.'
HOW_TICKET = 'Send what is to be different as application/json, such as {"seed": 7}.'
HOW_PATH = 'Send {"path": "cat.png"} as application/json, with the ticket\'s keys next to it.'
PIECE = 1024 * 1024
MOST_PAGES = 64


class Jobs:
    """The requests about jobs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pages: dict[JobQuery, tuple[int, bytes]] = {}  # lists, and after how many writes
        self._asked: JobStore | None = None
        self._one = asyncio.Lock()
        self._repeats = RepeatedRequests()

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        job = {JSON: JobView}
        made = (400, 404, 409, 413, 415, 422, 507)
        return [
            Endpoint(
                method="GET",
                path="/api/v1/jobs",
                handler=self.listing,
                gives={JSON: JobPage},
                query=Listing,
                problems=(400,),
            ),
            Endpoint(
                method="POST",
                path="/api/v1/jobs",
                handler=self.create,
                gives=job,
                status=201,
                query=Creation,
                headers=Repeatable,
                takes={FORM: UploadForm, JSON: InboxForm},
                needs_body=True,
                problems=made,
            ),
            Endpoint(
                method="GET",
                path="/api/v1/jobs/{id}",
                handler=self.one,
                gives=job,
                problems=(404,),
            ),
            *(
                Endpoint(
                    method="POST",
                    path=f"/api/v1/jobs/{{id}}/{handler.__name__}",
                    handler=handler,
                    gives=job,
                    takes={JSON: ReasonForm},
                    problems=(400, 404, 409, 413, 415),
                )
                for handler in (self.approve, self.decline, self.cancel, self.retry)
            ),
            Endpoint(
                method="POST",
                path="/api/v1/jobs/{id}/again",
                handler=self.again,
                gives=job,
                status=201,
                takes={JSON: TicketForm},
                problems=made,
            ),
        ]

    async def listing(self, request: web.Request) -> web.Response:
        """List jobs, newest first, a page at a time."""
        asked = read_query(request, Listing)
        question = JobQuery(
            states=asked.state,
            recipe=asked.recipe,
            text=asked.q,
            # One row more than asked for tells whether there is a next page.
            limit=asked.limit + 1,
            before=asked.before,
        )
        # Several pages and programs ask for the same list at once, and again; most of the time nothing changed.
        if (body := self._known(question)) is not None:
            return raw_json(body)
        async with self._one:
            return raw_json(self._known(question) or await self._page(question))

    def _known(self, question: JobQuery) -> bytes | None:
        ledger = self._runtime.need_ledger()
        if ledger is not self._asked:
            # After a reload the ledger is another one, which counts its writes anew.
            self._asked = ledger
            self._pages.clear()
        writes, body = self._pages.get(question, (-1, b""))
        return body if writes == ledger.writes else None

    async def _page(self, question: JobQuery) -> bytes:
        ledger = self._runtime.need_ledger()
        writes = ledger.writes
        rows = await ledger.page(question)
        shown, more = rows[: question.limit - 1], rows[question.limit - 1 :]
        jobs = tuple(self._view(row.job) for row in shown)
        body = msgspec.json.encode(JobPage(jobs=jobs, next=str(shown[-1].seq) if more else None))
        # How far a job is changes without a write.
        moving = any(row.job.state in (State.QUEUED, State.RUNNING) for row in shown)
        if not moving and ledger is self._asked:
            self._keep(question, writes, body)
        return body

    def _keep(self, question: JobQuery, writes: int, body: bytes) -> None:
        if len(self._pages) >= MOST_PAGES:
            self._pages.clear()
        self._pages[question] = (writes, body)

    async def one(self, request: web.Request) -> web.Response:
        """Show one job."""
        return reply(self._view(await self._find(request)))

    async def create(self, request: web.Request) -> web.Response:
        """Make a job of a picture: an uploaded one, or one that lies in the inbox."""
        asked = read_query(request, Creation)
        named = read_headers(request, Repeatable).idempotency_key
        submissions = self._runtime.need_submissions()
        said: dict[str, object] = {"query": msgspec.to_builtins(asked)}
        if request.content_type == JSON:
            ticket = values(await read_json(request, how=HOW_PATH), InboxForm, how=HOW_PATH)
            path = str(ticket.pop("path"))
            key = request_key(named, said | {"path": path, "ticket": ticket}, {}) if named else None
            take = partial(submissions.take_named, path, ticket, parent=asked.parent, key=key)
            return self._made(await self._once(key, take))
        limit = self._runtime.settings.web.max_upload_megabytes * 1024 * 1024
        async with receive(request, self._runtime.uploads, limit=limit) as upload:
            key = await asyncio.to_thread(_key, named, said, upload) if named else None
            take = partial(
                submissions.take_upload,
                *upload.image,
                upload.ticket,
                end=upload.end,
                parent=asked.parent,
                version=asked.recipe_version,
                recipe=upload.recipe,
                key=key,
            )
            return self._made(await self._once(key, take))

    async def _once(self, key: RequestKey | None, take: Callable[[], Awaitable[Job]]) -> Job:
        if key is None:
            return await take()
        return await self._repeats.once(self._runtime.need_ledger(), key, take)

    async def approve(self, request: web.Request) -> web.Response:
        """Let a reviewed job go on."""
        await self._why(request)
        job = await self._find(request)
        return reply(self._view(await self._runtime.need_conductor().approve(job.id)))

    async def decline(self, request: web.Request) -> web.Response:
        """End a reviewed job."""
        why = await self._why(request)
        job = await self._find(request)
        return reply(self._view(await self._runtime.need_conductor().decline(job.id, why)))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job."""
        why = await self._why(request)
        job = await self._find(request)
        return reply(self._view(await self._runtime.need_conductor().cancel(job.id, why)))

    async def retry(self, request: web.Request) -> web.Response:
        """Try a failed or cancelled job again."""
        await self._why(request)
        job = await self._find(request)
        return reply(self._view(await self._runtime.need_conductor().retry(job.id)))

    async def again(self, request: web.Request) -> web.Response:
        """Make a new job of an earlier one's pictures; the body says what of its ticket changes."""
        changes = values(await read_json(request, how=HOW_TICKET), TicketForm, how=HOW_TICKET)
        job = await self._find(request)
        submissions = self._runtime.need_submissions()
        if not (job.stages and job.images):
            raise Rejected(
                f"Job {job.short} never had all of its pictures.", "Send them again.", key="source"
            )
        steps.need_files(job)
        sources = [piece for piece in pieces(job) if piece.kind == "source"]
        async with room(self._runtime.uploads) as own:
            files = [
                (await self._copy(job, piece, own, image.sha256), image.name)
                for piece, image in zip(sources, job.images, strict=True)
            ]
            return self._made(await submissions.again(job, tuple(files), changes))

    async def _copy(self, job: Job, piece: Piece, own: Path, sha256: str) -> Path:
        """Copy a job's source where nobody else can reach it, and see that it is still the same."""
        target = own / piece.name
        async with opened(*place(self._runtime.settings, job, piece)) as file:
            found = await asyncio.to_thread(_copied, file.handle, target)
        if found != sha256:
            raise Rejected(
                f"The file {piece.published} is no longer the one that job {job.short} was made"
                " from.",
                "Send the picture again.",
                key="source-changed",
            )
        return target

    async def _find(self, request: web.Request) -> Job:
        return await self._runtime.find(request.match_info["id"])

    async def _why(self, request: web.Request) -> str:
        return (await read_body(request, ReasonForm, how=HOW_WHY)).why[:1000]

    def _made(self, job: Job) -> web.Response:
        response = reply(self._view(job), status=201)
        response.headers["Location"] = f"/api/v1/jobs/{job.id}"
        return response

    def _view(self, job: Job) -> JobView:
        conductor = self._runtime.conductor
        live = conductor.live(job.id) if conductor is not None else None
        return view(job, self._runtime.settings.outbox.path, live)


def _key(named: str, said: dict[str, object], upload: Upload) -> RequestKey:
    """Make the key of an upload; its files are read for that."""
    parts = {"image": upload.image, "end": upload.end}
    sent = {part: each for part, each in parts.items() if each is not None}
    names = {part: name for part, (_, name) in sent.items()}
    body = {"names": names, "ticket": upload.ticket, "recipe": upload.recipe}
    return request_key(named, said | body, {part: file for part, (file, _) in sent.items()})


def _copied(handle: int, target: Path) -> str:
    """Copy an open file; gives the hash of what was copied."""
    digest = hashlib.sha256()
    with target.open("xb") as made:
        while piece := os.read(handle, PIECE):
            digest.update(piece)
            made.write(piece)
    return digest.hexdigest()
