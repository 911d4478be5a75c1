"""A proxy before an engine: it passes everything on, and says something else where a test wants that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer


class Garbled:
    """Passes on what an engine says, but for the answers that were ordered."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._orders: list[tuple[str, str, int, bytes, int | None]] = []
        self._sockets: set[web.WebSocketResponse] = set()
        self.url = ""
        self.given: list[str] = []  # the paths that were answered otherwise

    def answers(
        self, path: str, body: bytes, *, status: int = 200, method: str = "", times: int | None = 1
    ) -> None:
        """Answer requests for paths that begin so with this, so often; None is for ever."""
        self._orders.append((path, method, status, body, times))

    def is_well(self) -> None:
        """Pass on everything again."""
        self._orders.clear()

    async def says(self, message: str | bytes) -> None:
        """Say something on every socket, in place of the engine."""
        for socket in self._sockets:
            with contextlib.suppress(ConnectionError):
                await (
                    socket.send_str(message)
                    if isinstance(message, str)
                    else socket.send_bytes(message)
                )

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Garbled]:
        """Stand before the engine while the context lasts."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._pass)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            server = TestServer(app)
            await server.start_server()
            self.url = str(server.make_url("")).rstrip("/")
            try:
                yield self
            finally:
                for socket in list(self._sockets):
                    await socket.close()
                await server.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/ws":
            return await self._socket(request)
        data = await request.read()
        for n, (path, method, status, body, times) in enumerate(self._orders):
            if request.path.startswith(path) and method in ("", request.method):
                self.given.append(request.path)
                if times == 1:
                    del self._orders[n]
                elif times is not None:
                    self._orders[n] = (path, method, status, body, times - 1)
                return web.Response(status=status, body=body, content_type="application/json")
        headers = {k: v for k, v in request.headers.items() if k not in ("Host", "Content-Length")}
        async with self._session.request(
            request.method, self._engine + request.path_qs, data=data, headers=headers
        ) as answer:
            kept: dict[str, Any] = {"Content-Type": answer.headers.get("Content-Type", "")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ours = web.WebSocketResponse()
        await ours.prepare(request)
        self._sockets.add(ours)
        try:
            async with self._session.ws_connect(self._engine + request.path_qs) as theirs:
                await asyncio.gather(self._carry(theirs, ours), self._until_closed(ours, theirs))
        except aiohttp.ClientError:
            pass
        finally:
            self._sockets.discard(ours)
            await ours.close()
        return ours

    async def _carry(
        self, theirs: aiohttp.ClientWebSocketResponse, ours: web.WebSocketResponse
    ) -> None:
        async for message in theirs:
            if message.type is aiohttp.WSMsgType.TEXT:
                with contextlib.suppress(ConnectionError):
                    await ours.send_str(message.data)
        await ours.close()

    async def _until_closed(
        self, ours: web.WebSocketResponse, theirs: aiohttp.ClientWebSocketResponse
    ) -> None:
        async for _ in ours:
            pass
        await theirs.close()
