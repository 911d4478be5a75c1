"""The websockets of the engine: one stream a client id, in the order things happened."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from .faults import Faults

Json = dict[str, Any]


class Sockets:
    """Who listens, and what is still to be told."""

    def __init__(self, faults: Faults, features: Json, queue_info: Callable[[], Json]) -> None:
        self._faults = faults
        self._features = features
        self._queue_info = queue_info
        self._open: dict[str, web.WebSocketResponse] = {}
        self._transports: set[asyncio.Transport] = set()
        self._messages: asyncio.Queue[tuple[str, Json, str | None]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def emit(self, event: str, data: Json, client: str | None) -> None:
        """Queue a message for one client, or for all; callable from any thread."""
        with contextlib.suppress(RuntimeError):  # The loop may be gone when the engine stops.
            self._loop.call_soon_threadsafe(self._messages.put_nowait, (event, data, client))

    async def publish(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            event, data, client = await self._messages.get()
            if data.get("drop"):
                self.drop()
            else:
                await self._send(event, data, client)

    async def handle(
        self, request: web.Request, current: Callable[[str], str | None]
    ) -> web.WebSocketResponse:
        """Serve one websocket; `current` names the node that runs for a client, if one does."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query.get("clientId", "") or uuid.uuid4().hex
        # A second socket with the same id takes the stream; the first hears nothing more.
        self._open[sid] = socket
        transport = request.transport
        assert transport is not None
        self._transports.add(transport)
        try:
            await self._send("status", {"status": self._queue_info(), "sid": sid}, sid)
            node = current(sid)
            if node is not None:
                await self._send("executing", {"node": node}, sid)
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._hear(sid, message.data)
        finally:
            # ComfyUI forgets the id even when a newer socket holds it.
            self._open.pop(sid, None)
            self._transports.discard(transport)
        return socket

    def drop(self) -> None:
        """Cut every websocket off, without a goodbye."""
        for transport in list(self._transports):
            transport.abort()

    async def _hear(self, sid: str, text: str) -> None:
        """Answer the page's question for features; everything else is ignored."""
        with contextlib.suppress(json.JSONDecodeError, AttributeError):
            if json.loads(text).get("type") == "feature_flags":
                await self._send("feature_flags", self._features, sid)

    async def _send(self, event: str, data: Json, client: str | None) -> None:
        if client is None:
            targets = list(self._open.values())
        else:
            targets = [self._open[client]] if client in self._open else []
        if not targets or self._faults.active("silent"):
            return
        text = json.dumps({"type": event, "data": data})
        for socket in targets:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await socket.send_str(text)
