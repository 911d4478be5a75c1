"""The backup over HTTP: made while jobs run, and sent as one file."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiohttp import web

from ...backup import LEDGER, pack
from ...inbox.trouble import find_room
from ...runtime import Runtime
from ..endpoint import Endpoint
from .upload import room

TAR = "application/x-tar"
PIECE = 1024 * 1024


class BackupApi:
    """The request for a backup."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._one = asyncio.Lock()  # each takes twice the ledger's room while it lasts

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="POST",
                path="/api/v1/backup",
                handler=self.backup,
                gives={TAR: bytes},
                problems=(507,),
            )
        ]

    async def backup(self, request: web.Request) -> web.StreamResponse:
        """Give the ledger and the recipes of its jobs as one file; jobs go on meanwhile."""
        settings = self._runtime.settings
        ledger = self._runtime.need_ledger()
        async with self._one, room(self._runtime.uploads) as own:
            await asyncio.to_thread(find_room, settings)
            await ledger.copy_to(own / LEDGER)
            file = own / "backup.tar"
            now = time.time()
            await asyncio.to_thread(pack, own / LEDGER, settings.recipe_versions, file, now)
            size = (await asyncio.to_thread(file.stat)).st_size
            return await _send(request, file, size, now)


async def _send(request: web.Request, file: Path, size: int, now: float) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = TAR
    response.content_length = size
    name = time.strftime("zoetrope-%Y-%m-%d.tar", time.localtime(now))
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    await response.prepare(request)
    with file.open("rb") as stream:
        while piece := await asyncio.to_thread(stream.read, PIECE):
            await response.write(piece)
    return response
