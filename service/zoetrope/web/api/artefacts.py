"""The files of jobs over HTTP: by the names that a job's own list has, never by a path."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath

from aiohttp import web

from ...domain import steps
from ...domain.job import Job
from ...errors import NotFound
from ...jobs.outbox import RECEIPT, Piece, pieces
from ...jobs.receipt import Receipt
from ...runtime import Runtime
from ...settings import Settings
from ..endpoint import JSON, Endpoint, read_query, reply
from ..files import TYPES, UNKNOWN, media_type, opened, send, size_of
from ..forms import Taking
from ..views import Artefacts, ArtefactView, address

FILE_PROBLEMS = (400, 404, 412, 416)


class ArtefactsApi:
    """The requests about what a job was made from and what it made."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/jobs/{id}/artefacts",
                handler=self.listing,
                gives={JSON: Artefacts},
                problems=(404,),
            ),
            Endpoint(
                method="GET",
                path="/api/v1/jobs/{id}/artefacts/{name}",
                handler=self.file,
                gives=dict.fromkeys([*sorted(set(TYPES.values())), UNKNOWN], bytes),
                also=(206,),
                query=Taking,
                problems=FILE_PROBLEMS,
            ),
            Endpoint(
                method="GET",
                path="/api/v1/jobs/{id}/receipt",
                handler=self.receipt,
                gives={JSON: Receipt},
                problems=FILE_PROBLEMS,
            ),
        ]

    async def listing(self, request: web.Request) -> web.Response:
        """List the files of a job that are there."""
        job = await self._runtime.find(request.match_info["id"])
        settings = self._runtime.settings
        found = await asyncio.to_thread(
            lambda: [(piece, size_of(*place(settings, job, piece))) for piece in pieces(job)]
        )
        return reply(
            Artefacts(
                artefacts=tuple(
                    ArtefactView(
                        name=piece.name,
                        kind=piece.kind,
                        stage=piece.stage,
                        type=media_type(piece.name),
                        size=size,
                        url=address(job, piece),
                    )
                    for piece, size in found
                    if size is not None
                )
            )
        )

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Give a file of a job, in whole or in part."""
        asked = read_query(request, Taking)
        job = await self._runtime.find(request.match_info["id"])
        return await self._send(request, job, request.match_info["name"], download=asked.download)

    async def receipt(self, request: web.Request) -> web.StreamResponse:
        """Say how a finished job's video was made."""
        job = await self._runtime.find(request.match_info["id"])
        if not job.outbox:
            raise NotFound(
                f"Job {job.short} is {job.state}; a receipt is written with the finished video.",
                key="receipt",
            )
        return await self._send(request, job, RECEIPT, download=False)

    async def _send(
        self, request: web.Request, job: Job, name: str, *, download: bool
    ) -> web.StreamResponse:
        piece = next((piece for piece in pieces(job) if piece.name == name), None)
        if piece is None:
            if job.removed:
                gone = steps.removed(job)
                raise NotFound(gone.sentence, gone.next_step, key=gone.key)
            raise NotFound(
                f"Job {job.short} has no file {name[:100]!r}.",
                f"/api/v1/jobs/{job.id}/artefacts lists what it has.",
                key="artefact",
            )
        async with opened(*place(self._runtime.settings, job, piece)) as file:
            published = PurePosixPath(piece.published).name
            save_as = published if piece.kind == "video" else f"{job.stem}-{piece.name}"
            return await send(
                request,
                file,
                kind=media_type(piece.name),
                save_as=save_as if download else "",
            )


def place(settings: Settings, job: Job, piece: Piece) -> tuple[Path, str]:
    """Say where a file lies: a folder of ours, and the path below it."""
    if job.outbox:
        return settings.outbox.path, f"{job.outbox}/{piece.published}"
    return settings.work, f"{job.id}/{piece.work}"
