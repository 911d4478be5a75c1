"""Connections to the page: how many there may be, and how long each may take to ask for something.

aiohttp bounds neither their number nor the time of a request's header.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from .problems import BLANK, Problem

LOG = logging.getLogger(__name__)

MOST = 256  # connections, on a host with descriptors to spare
QUEUE = 128  # connections that the kernel keeps until they are accepted
# Seconds until a request's header is whole: from its first byte, of the first request from the connection on.
HEADER = 10.0
# Seconds between two requests; longer than proxies keep a connection that they may use again.
IDLE = 180.0

FULL_HOUSE = {"action": "connections-full"}


class Share(msgspec.Struct, frozen=True):
    """What the page takes of the process's descriptors; the rest is for the jobs."""

    connections: int
    round: int  # connections that are accepted before the first of them is looked at


def share(descriptors: int) -> Share:
    """Divide the descriptors, so that a quarter is left whatever happens at the page.

    A connection can hold a file next to its socket: half of them for connections. Those that have to
    go are there for up to four rounds of the event loop: the other quarter.
    """
    return Share(
        connections=max(1, min(MOST, descriptors // 4)),
        round=max(1, min(32, descriptors // 16)),
    )


def _answer(problem: Problem) -> bytes:
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {problem.status} {problem.title}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 10\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


FULL = _answer(
    Problem(
        type=BLANK,
        title=HTTPStatus.SERVICE_UNAVAILABLE.phrase,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        detail="Too many connections are open, and each of them is in use.",
        key="connections",
        next_step="Close pages that are not needed, or try again later.",
    )
)


async def listen(
    open_connections: OpenConnections, host: str, port: int, room: Share
) -> asyncio.Server:
    """Listen for a crowd."""
    loop = asyncio.get_running_loop()
    # asyncio takes one number for two things: the kernel's queue, and how many it accepts in a round.
    server = await loop.create_server(open_connections, host, port, backlog=room.round)
    for each in server.sockets:
        with each.dup() as same:
            same.listen(QUEUE)
    return server


class Connection(web.RequestHandler):
    """One connection: it is either in a request, or waits for one and may have to go."""

    def __init__(
        self, open_connections: OpenConnections, server: web.Server, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._open_connections = open_connections
        self._deadline: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None  # of the last request
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or reject it where there is no room."""
        if not self._open_connections.admits():
            stream = cast(asyncio.Transport, transport)
            stream.write(FULL)
            stream.close()
            return
        super().connection_made(transport)
        self._open_connections.enter(self)
        self._wait()
        self._start_clock()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._stop_clock()
        self._open_connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; the first one of a request's header starts its clock, and no later one resets it."""
        rest_of_body = self._body is not None and not self._body.is_eof()
        if data and self._waits and self._deadline is None and not rest_of_body:
            self._start_clock()
            # aiohttp's own clock of idle connections is stopped, and is started again after the answer.
            self.keep_alive(True)
        super().data_received(data)

    def begin(self, body: StreamReader) -> None:
        """A header is whole: the request may take as long as it needs, and so may its body."""
        self._stop_clock()
        self._body = body
        self._waits = False
        self._open_connections.busy(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; after it the connection waits for another request."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._wait()

    def close_idle(self) -> None:
        """End at once."""
        self._stop_clock()
        self._open_connections.leave(self)
        if self.transport is not None:
            # Not closed: that would wait until the other side has read what was written.
            self.transport.abort()

    def _wait(self) -> None:
        self._waits = True
        self._open_connections.waits(self)

    def _start_clock(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(HEADER, self.close_idle)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class OpenConnections:
    """All connections; made to be given to `loop.create_server`.

    At the bound, the one that waits longest for a request gives way to a new one; where each of
    them is in a request, the new one is rejected.
    """

    def __init__(
        self,
        server: web.Server,
        most: int,
        **options: Any,
    ) -> None:
        self._server = server
        self._options = options
        self._most = most
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}  # who waits longest is the first
        make = server.request_factory

        # aiohttp calls it for each header that is whole, and for each that cannot be read.
        def factory(
            message: RawRequestMessage,
            payload: StreamReader,
            protocol: web.RequestHandler,
            writer: AbstractStreamWriter,
            task: asyncio.Task[None],
        ) -> web.BaseRequest:
            if isinstance(protocol, Connection):
                protocol.begin(payload)
            return make(message, payload, protocol, writer, task)

        server.request_factory = factory

    def __call__(self) -> Connection:
        """Make what serves a connection."""
        loop = asyncio.get_running_loop()
        return Connection(self, self._server, loop=loop, keepalive_timeout=IDLE, **self._options)

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def admits(self) -> bool:
        """Return whether there is room for one more, and make it if it can be made."""
        if len(self._open) < self._most:
            return True
        for longest in self._waiting:
            LOG.warning(
                "%d connections are open: an idle one is closed", self._most, extra=FULL_HOUSE
            )
            longest.close_idle()
            return True
        LOG.warning(
            "%d connections are open and in use: another one is rejected",
            self._most,
            extra=FULL_HOUSE,
        )
        return False

    def enter(self, connection: Connection) -> None:
        """Count a connection."""
        self._open.add(connection)

    def leave(self, connection: Connection) -> None:
        """Count a connection no longer."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def waits(self, connection: Connection) -> None:
        """Note that a connection waits for a request, from now on."""
        if connection in self._open:
            self._waiting[connection] = None

    def busy(self, connection: Connection) -> None:
        """Note that a connection is in a request."""
        self._waiting.pop(connection, None)
