"""The event stream over HTTP: server-sent events that can be resumed."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from ..endpoint import Endpoint
from ..events import Bus

PAUSE = 15.0  # seconds of silence before a comment shows that the line is alive
PATIENCE = 20.0  # seconds that a reader may take for one write


class EventsApi:
    """The request for the event stream."""

    def __init__(self, bus: Bus, *, pause: float = PAUSE, patience: float = PATIENCE) -> None:
        self._bus = bus
        self._pause = pause
        self._patience = patience

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/events",
                handler=self.stream,
                gives={"text/event-stream": str},
                head=False,
            )
        ]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Stream what happens until the reader leaves, the service stops, or the reader falls behind."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                # Without this, nginx would hold events back until its buffer is full.
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        events = self._bus.stream(request.headers.get("Last-Event-ID"), self._pause)
        async with contextlib.aclosing(events):
            # A reader that is gone or does not read is no error: it comes back when it wants to.
            with contextlib.suppress(ConnectionError, TimeoutError):
                async for piece in events:
                    async with asyncio.timeout(self._patience):
                        await response.write(piece)
                return response
        if request.transport is not None:
            request.transport.abort()
        return response
