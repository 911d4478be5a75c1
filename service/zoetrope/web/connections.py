"""Connections to the page: how many there may be, from where, and how long each may take to ask for something.

aiohttp bounds neither their number nor the time of a request's header.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from . import peer
from .bare_answer import NO_HTTP, of_problem
from .busy import LONGEST, answer, is_whole
from .peer import Source
from .problems import answer as answer_of
from .problems import problem

LOG = logging.getLogger(__name__)

MOST = 256  # connections, on a host with descriptors to spare
QUEUE = 128  # connections that the kernel keeps until they are accepted
# Seconds until a request's header is whole: from its first byte, of the first request from the connection on.
HEADER = 10.0
# Seconds from there until the guard lets the request through, body and answer included.
STRANGER = 10.0
# Seconds between two requests; longer than proxies keep a connection that they may use again.
IDLE = 180.0

# Seconds in which a connection that is rejected may say what it asks for.
REJECTED = 2.0

FULL = {"action": "connections-full"}


class Share(msgspec.Struct, frozen=True):
    """What the page takes of the process's descriptors; the rest is for the jobs."""

    connections: int
    round: int  # connections that are accepted before the first of them is looked at
    of_one: int  # connections that one other host, or one user of this host, may have
    # Connections that all other hosts may have together, and all users of this host, so that neither of them
    # can keep the other one out.
    of_side: int
    rejected: int = 0  # connections over a bound that are listened to, so that browsers get a page


def share(descriptors: int) -> Share:
    """Divide the descriptors, so that a quarter is left whatever happens at the page.

    A connection can hold a file next to its socket: half of them for connections. Those that have to
    go are there for up to four rounds of the event loop, or until they have asked: the other quarter.
    """
    connections = max(1, min(MOST, descriptors // 4))
    return Share(
        connections=connections,
        round=max(1, min(32, descriptors // 20)),
        of_one=max(1, connections // 4),
        of_side=max(1, connections * 3 // 4),
        rejected=min(32, descriptors // 32),
    )


async def listen(
    open_connections: OpenConnections, host: str, port: int, room: Share
) -> asyncio.Server:
    """Listen, with a queue of the kernel's own length."""
    loop = asyncio.get_running_loop()
    # asyncio takes one number for two things: the kernel's queue, and how many it accepts in a round.
    server = await loop.create_server(open_connections, host, port, backlog=room.round)
    for each in server.sockets:
        with each.dup() as same:
            same.listen(QUEUE)
    return server


def let_through(request: web.BaseRequest) -> None:
    """Note that the sender may ask this: the request has all the time it needs, and keeps its place."""
    if isinstance(request.protocol, Connection):
        request.protocol.let_through()


class Connection(web.RequestHandler):
    """One connection: it is in a request that was let through, or else it may have to go."""

    def __init__(
        self, open_connections: OpenConnections, server: web.Server, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._open_connections = open_connections
        self._deadline: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None  # of the last request
        self._waits = False
        self._bare: bytes | None = None  # the last answer, where aiohttp has none
        self._asked: bytearray | None = None  # what came in on a connection that is rejected
        self._stream: asyncio.Transport | None = None  # of a connection that is rejected
        self.source = Source("")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or reject it where there is no room."""
        stream = cast(asyncio.Transport, transport)
        self.source = self._open_connections.source(stream)
        if not self._open_connections.admits(self.source):
            self._reject(stream)
            return
        super().connection_made(transport)
        self._open_connections.enter(self)
        self._wait()
        self._start_clock(HEADER)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._stop_clock()
        self._open_connections.leave(self)
        if self._asked is None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; the first one of a request's header starts its clock, and no later one resets it."""
        if self._asked is not None:
            self._asked += data[: LONGEST + 1 - len(self._asked)]
            if is_whole(self._asked):
                self.turn_away()
            return
        rest_of_body = self._body is not None and not self._body.is_eof()
        if data and self._waits and self._deadline is None and not rest_of_body:
            self._start_clock(HEADER)
            # aiohttp's own clock of idle connections is stopped, and is started again after the answer.
            self.keep_alive(True)
        super().data_received(data)

    def begin(self, body: StreamReader) -> None:
        """A header is whole: a stranger's request, with its body and answer, gets no more than its time."""
        self._stop_clock()
        self._body = body
        self._waits = False
        self._start_clock(STRANGER)

    def let_through(self) -> None:
        """The request may take as long as it needs, and so may its body."""
        self._stop_clock()
        self._open_connections.busy(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; after it the connection waits for another request."""
        try:
            if self._bare is not None and self.transport is not None:
                self.transport.write(self._bare)
                return resp, True
            if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
                # It did not come as far as the application: an expectation that is not known.
                resp = answer_of(problem(resp))
            return await super().finish_response(request, resp, start_time)
        finally:
            self._stop_clock()
            self._wait()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or an error outside the application; aiohttp would repeat what came in."""
        found = super().handle_error(request, status, exc, message)
        unreadable = status == HTTPStatus.BAD_REQUEST
        self._bare = of_problem(NO_HTTP if unreadable else problem(exc or RuntimeError()))
        return found

    def close_idle(self) -> None:
        """End at once."""
        self._stop_clock()
        self._open_connections.leave(self)
        if self.transport is not None:
            # Not closed: that would wait until the other side has read what was written.
            self.transport.abort()

    def _reject(self, stream: asyncio.Transport) -> None:
        """Listen for a moment to what is asked, so that a browser gets a page; if many ask, not even that."""
        self._asked = bytearray()
        self._stream = stream
        if self._open_connections.listens(self):
            later = asyncio.get_running_loop().call_later
            self._deadline = later(REJECTED, self.turn_away)
        else:
            self.turn_away()

    def turn_away(self) -> None:
        """Answer a connection that is rejected with what it has asked for so far."""
        self._stop_clock()
        self._open_connections.leave(self)
        if self._asked is not None and self._stream is not None and not self._stream.is_closing():
            self._stream.write(answer(bytes(self._asked)))
            self._stream.close()

    def _wait(self) -> None:
        self._waits = True
        self._open_connections.waits(self)

    def _start_clock(self, seconds: float) -> None:
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.close_idle)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class OpenConnections:
    """All connections; made to be given to `loop.create_server`.

    At a bound, one that is in no request, or in one that was not let through, gives way to a new one:
    of the source that has the most of them, the one that waits longest. Where each of them is in a request that
    was let through, the new one is rejected.
    """

    def __init__(
        self,
        server: web.Server,
        room: Share,
        *,
        source: Callable[[asyncio.BaseTransport], Source] = lambda transport: peer.source(
            transport, ()
        ),
        **options: Any,
    ) -> None:
        self._server = server
        self._options = options
        self._room = room
        self.source = source
        self._open: set[Connection] = set()
        self._rejected: dict[Connection, None] = {}  # who came first is the first
        self._of: Counter[Source] = Counter()
        self._of_side: Counter[bool] = Counter()
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

    def admits(self, source: Source) -> bool:
        """Return whether there is room for one more, and make it if it can be made."""
        found = self._full(source)
        if found is None:
            return True
        whose, concerned = found
        concern = [each for each in self._waiting if concerned(each.source)]
        if concern:
            said = "too many connections %s: one that is idle, or shows no token, is closed"
            LOG.warning(said, whose, extra=FULL)
            # Whoever comes with a few is never the one that has to go for a crowd.
            max(concern, key=lambda each: self._of[each.source]).close_idle()
            return self.admits(source)
        said = "too many connections %s, and all are in use: another one from %s is rejected"
        LOG.warning(said, whose, source.name, extra=FULL)
        return False

    def _full(self, source: Source) -> tuple[str, Callable[[Source], bool]] | None:
        """Name the bound that is reached, and the sources of which one has to go."""
        if self._of[source] >= self._room.of_one:
            return f"from {source.name}", lambda other: other == source
        if self._of_side[source.local] >= self._room.of_side:
            side = "from this host" if source.local else "from other hosts"
            return side, lambda other: other.local == source.local
        if len(self._open) >= self._room.connections:
            return "in all", lambda _: True
        return None

    def enter(self, connection: Connection) -> None:
        """Count a connection."""
        self._open.add(connection)
        self._of[connection.source] += 1
        self._of_side[connection.source.local] += 1

    def listens(self, connection: Connection) -> bool:
        """Return whether a connection that is rejected may say what it asks for; for it another one has to go."""
        if not self._room.rejected:
            return False
        if len(self._rejected) >= self._room.rejected:
            crowd = Counter(each.source for each in self._rejected)
            max(self._rejected, key=lambda each: crowd[each.source]).turn_away()
        self._rejected[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """Count a connection no longer."""
        self._rejected.pop(connection, None)
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._open.discard(connection)
            self._of_side[connection.source.local] -= 1
            self._of[connection.source] -= 1
            if not self._of[connection.source]:
                del self._of[connection.source]

    def waits(self, connection: Connection) -> None:
        """Note that a connection waits for a request, from now on."""
        if connection in self._open:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def busy(self, connection: Connection) -> None:
        """Note that a connection is in a request that was let through."""
        self._waiting.pop(connection, None)
