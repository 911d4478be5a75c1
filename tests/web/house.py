"""A server whose connections are bounded, its clock, and those who visit it."""

import asyncio
import contextlib
import json

from aiohttp import web

from zoetrope.web.connections import MOST, OpenConnections, Share, let_through, listen
from zoetrope.web.peer import Source

HERE = Source("user 1", local=True)


NEIGHBOUR = Source("user 2", local=True)


HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


STRANGE = "strange"  # the host that is named in requests without a token


ENDLESS = b"POST /take HTTP/1.1\r\nHost: strange\r\nContent-Length: 60000\r\n\r\nt"


class Clock:
    """The event loop's clock, which can be set forward."""

    def __init__(self, loop):
        self.ahead = 0.0
        real = loop.time
        loop.time = lambda: real() + self.ahead

    async def forward(self, seconds):
        self.ahead += seconds
        for _ in range(5):  # what is due comes, and what follows from it
            await asyncio.sleep(0)


class Watched(OpenConnections):
    """Open connections that count who came, let in or not."""

    came = 0
    let_in = False

    def admits(self, source):
        self.let_in = super().admits(source)
        self.came += 1
        return self.let_in


class House:
    """A server whose connections are bounded, and those who visit it."""

    def __init__(self, stack):
        self.stack = stack
        self.doors = asyncio.Event()
        self.where = HERE  # the source of who comes next
        self.clock = Clock(asyncio.get_running_loop())

    async def open(self, most=MOST, *, of_one=MOST, of_side=MOST, rejected=0):
        app = web.Application(middlewares=[self.guard])
        app.add_routes(
            [
                web.get("/hello", self.hello),
                web.post("/hello", self.hello),
                web.post("/take", self.take),
                web.get("/stream", self.stream),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        self.stack.callback(self.doors.set)
        room = Share(connections=most, round=16, of_one=of_one, of_side=of_side, rejected=rejected)
        self.open_connections = Watched(
            runner.server, room, source=lambda _: self.where, access_log=None
        )
        server = await listen(self.open_connections, "127.0.0.1", 0, room)
        self.stack.callback(server.close)
        self.address = server.sockets[0].getsockname()
        self.server = runner.server

    @web.middleware
    async def guard(self, request, handler):
        if request.headers["Host"] != STRANGE:
            let_through(request)
        return await handler(request)

    async def hello(self, request):
        return web.Response(text="hello")

    async def take(self, request):
        return web.Response(text=str(len(await request.read())))

    async def stream(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await self.doors.wait()
        await response.write(b"last")
        return response

    async def visit(self, where=None):
        """Connect, and wait until the server knows of it."""
        self.where = where or self.where
        came, before = self.open_connections.came, set(self.server.connections)
        visitor = Visitor(*await asyncio.open_connection(*self.address))
        self.stack.push_async_callback(visitor.leave)
        while self.open_connections.came == came:
            await asyncio.sleep(0)
        if self.open_connections.let_in:
            (visitor.there,) = set(self.server.connections) - before
        return visitor

    async def linger(self, where=None):
        """Visit, and stay in a request."""
        visitor = await self.visit(where)
        visitor.writer.write(b"GET /stream HTTP/1.0\r\nHost: x\r\n\r\n")
        await visitor.reader.readuntil(b"first")
        return visitor


class Visitor:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.there = None  # the server's side

    async def dally(self, request=ENDLESS):
        """Begin a request that shows no token and has no end."""
        self.drip(request)
        for _ in range(5):
            await asyncio.sleep(0)
        assert self.there.connected
        return self

    def drip(self, data):
        """Let some bytes come in, at this moment and by themselves."""
        for at in range(len(data)):
            self.there.data_received(data[at : at + 1])

    async def ask(self, request=HELLO):
        self.writer.write(request)
        return await self.answer()

    async def answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if "Content-Length" not in head:
            return head.split()[1], ""
        length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
        return head.split()[1], (await self.reader.readexactly(length)).decode()

    async def is_gone(self):
        """Tell whether the server has let it go, by now."""
        for _ in range(20):
            await asyncio.sleep(0)
        if self.there is not None and self.there.connected:
            return False
        with contextlib.suppress(ConnectionError):
            return await self.reader.read() == b""
        return True

    async def leave(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def refused(visitor):
    status, body = await visitor.answer()
    assert status == "503"
    assert json.loads(body)["key"] == "connections"
    assert await visitor.is_gone()
    return True
