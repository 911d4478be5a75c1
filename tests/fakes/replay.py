"""A server that plays back one recorded run of a real ComfyUI, message by message."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

RECORDINGS = Path(__file__).parents[1] / "engine" / "recordings"
VERSIONS = sorted(path.stem for path in RECORDINGS.glob("*.json"))


def recording(version: str, run: str) -> dict[str, Any]:
    """Read one run: its POST answer, its WebSocket messages, its history."""
    found: dict[str, Any] = json.loads((RECORDINGS / f"{version}.json").read_text())[run]
    return found


class Replay:
    """Answers one prompt as the recording did, under whatever id the client gives it."""

    def __init__(self, version: str, run: str) -> None:
        self._run = recording(version, run)
        self._old_id = next(iter(self._run["history"]))
        self._id: str | None = None
        self._played = False
        self._sockets: list[web.WebSocketResponse] = []
        self._connected = asyncio.Event()
        self._asked = asyncio.Event()
        self.posted: dict[str, Any] = {}

    async def connected(self) -> None:
        """Wait until a client listens: one that connects later may hear of the end alone."""
        await self._connected.wait()

    def _renamed(self, value: Any) -> Any:
        assert self._id is not None
        return json.loads(json.dumps(value).replace(self._old_id, self._id))

    async def _prompt(self, request: web.Request) -> web.Response:
        self.posted = await request.json()
        self._id = self.posted["prompt_id"]
        asyncio.get_running_loop().create_task(self._play())
        return web.json_response(
            self._renamed(self._run["post"]["body"]), status=self._run["post"]["status"]
        )

    async def _play(self) -> None:
        await self._connected.wait()
        await self._asked.wait()  # the client listens first, or it would only see the end
        for message in self._run["ws"]:
            if message["type"] == "executing" and message["data"].get("node") is None:
                self._played = True  # the history is there before the very last message
            for socket in self._sockets:
                with contextlib.suppress(ConnectionError):
                    await socket.send_json(self._renamed(message))
        self._played = True

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        self._connected.set()
        async for message in socket:
            assert message.type is WSMsgType.TEXT
        return socket

    async def _queue(self, _: web.Request) -> web.Response:
        busy = self._id is not None and not self._played
        if self._id is not None:
            asyncio.get_running_loop().call_later(0.01, self._asked.set)
        entry = [[1, self._id, {}, {}, []]] if busy else []
        return web.json_response({"queue_running": entry, "queue_pending": []})

    async def _history(self, request: web.Request) -> web.Response:
        known = self._played and request.match_info["id"] == self._id
        return web.json_response(self._renamed(self._run["history"]) if known else {})

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve while the context lasts; gives the URL."""
        app = web.Application()
        app.router.add_post("/prompt", self._prompt)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/queue", self._queue)
        app.router.add_get("/history/{id}", self._history)
        server = TestServer(app)
        await server.start_server()
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            for socket in self._sockets:
                await socket.close()
            await server.close()
