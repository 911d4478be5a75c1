"""Connections: how many there are, and how long each may take."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from zoetrope.web.connections import (
    HEADER,
    IDLE,
    MOST,
    REJECTED,
    STRANGER,
    OpenConnections,
    Share,
    let_through,
    listen,
    share,
)
from zoetrope.web.peer import Source

AGES = 100_000.0
HERE, NEIGHBOUR = Source("user 1", local=True), Source("user 2", local=True)
HOSTS = [Source(f"192.0.2.{number}") for number in range(9)]
HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
STRANGE = "strange"  # the host that is named in requests without a token
ENDLESS = b"POST /take HTTP/1.1\r\nHost: strange\r\nContent-Length: 60000\r\n\r\nt"
CREATE = b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


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


@pytest.fixture
async def house():
    async with contextlib.AsyncExitStack() as stack:
        yield House(stack)


async def test_a_silent_connection_has_its_time(house):
    await house.open()
    visitor = await house.visit()
    await house.clock.forward(HEADER - 1)
    assert len(house.open_connections) == 1
    await house.clock.forward(1)
    assert await visitor.is_gone()
    assert len(house.open_connections) == 0


async def test_a_byte_now_and_then_gives_no_more_time(house):
    await house.open()
    visitor = await house.visit()
    for number in range(5):
        visitor.drip(HELLO[number : number + 1])
        await house.clock.forward(HEADER / 5)
    assert await visitor.is_gone()


async def test_the_second_request_has_its_time_from_its_first_byte_on(house):
    await house.open()
    visitor = await house.visit()
    assert await visitor.ask() == ("200", "hello")
    await house.clock.forward(HEADER * 2)
    for number in range(5):
        assert len(house.open_connections) == 1
        visitor.drip(HELLO[number : number + 1])
        await house.clock.forward(HEADER / 5)
    assert await visitor.is_gone()


async def test_a_header_that_comes_slowly_and_in_time_is_answered(house):
    await house.open()
    visitor = await house.visit()
    for _ in range(3):
        await house.clock.forward(HEADER / 2 if _ == 0 else IDLE - 1)
        visitor.drip(HELLO[:20])
        # Of the time for an idle connection nothing is left, and that is not asked any more.
        await house.clock.forward(HEADER / 2 - 1)
        visitor.drip(HELLO[20:])
        assert await visitor.answer() == ("200", "hello")


async def test_a_connection_without_another_request_has_its_time(house):
    await house.open()
    visitor = await house.visit()
    assert await visitor.ask() == ("200", "hello")
    await house.clock.forward(IDLE - 1)
    assert len(house.open_connections) == 1
    await house.clock.forward(1)
    assert await visitor.is_gone()


async def test_a_body_may_take_as_long_as_it_needs(house):
    await house.open()
    visitor = await house.visit()
    for _ in range(2):
        visitor.drip(CREATE)
        for _ in range(10):
            await house.clock.forward(AGES)
            visitor.drip(b"x")
        assert await visitor.answer() == ("200", "10")


async def test_a_body_without_a_token_has_its_time_however_it_is_split(house):
    await house.open()
    visitor = await (await house.visit()).dally()
    for _ in range(5):
        assert len(house.open_connections) == 1
        await house.clock.forward(STRANGER / 5)
        visitor.drip(b"x")
    assert await visitor.is_gone()
    assert len(house.open_connections) == 0


async def test_a_request_without_a_token_that_is_answered_in_time_leaves_no_clock_behind(house):
    await house.open()
    visitor = await house.visit()
    hello = HELLO.replace(b": x", b": strange")
    for _ in range(3):
        assert await visitor.ask(hello) == ("200", "hello")
        await house.clock.forward(STRANGER * 2)


async def test_a_stream_stays_for_as_long_as_it_likes(house):
    await house.open()
    visitor = await house.visit()
    visitor.writer.write(b"GET /stream HTTP/1.0\r\nHost: x\r\n\r\n")
    await visitor.reader.readuntil(b"first")
    await house.clock.forward(AGES)
    house.doors.set()
    assert await visitor.reader.read() == b"last"


async def test_who_sends_the_next_request_early_has_time_until_this_one_is_answered(house):
    await house.open()
    visitor = await house.visit()
    visitor.drip(HELLO.replace(b"hello", b"stream"))
    await visitor.reader.readuntil(b"first")
    visitor.drip(HELLO[:10])
    await house.clock.forward(AGES)
    house.doors.set()
    await visitor.reader.readuntil(b"last\r\n0\r\n\r\n")
    visitor.drip(HELLO[10:])
    assert await visitor.answer() == ("200", "hello")


async def test_a_body_that_nobody_read_is_not_the_next_header(house):
    await house.open()
    visitor = await house.visit()
    visitor.drip(CREATE.replace(b"take", b"hello"))
    assert await visitor.answer() == ("200", "hello")
    visitor.drip(b"x" * 10)
    await asyncio.sleep(0)
    await house.clock.forward(HEADER + 1)
    assert await visitor.ask() == ("200", "hello")


async def test_several_requests_at_once_are_all_answered(house):
    await house.open()
    visitor = await house.visit()
    visitor.drip(HELLO * 3 + HELLO[:10])
    for _ in range(3):
        assert await visitor.answer() == ("200", "hello")
    visitor.drip(HELLO[10:])
    assert await visitor.answer() == ("200", "hello")


async def test_at_the_bound_who_waits_longest_gives_way(house):
    await house.open(most=3)
    first, second, third = [await house.visit() for _ in range(3)]
    assert await first.ask() == ("200", "hello")  # which waits anew, and not as long as the others
    fourth = await house.visit()
    assert await second.is_gone()
    assert await fourth.ask() == ("200", "hello")
    assert await first.ask() == ("200", "hello")
    assert await third.ask() == ("200", "hello")
    assert len(house.open_connections) == 3


async def test_who_is_in_a_request_stays_and_the_next_one_is_told_so(house):
    await house.open(most=2)
    await house.linger()
    busy = await house.linger()
    rejected = await house.visit()
    status, body = await rejected.answer()
    assert status == "503"
    assert json.loads(body)["key"] == "connections"
    assert await rejected.is_gone()
    house.doors.set()
    assert await busy.reader.read() == b"last"
    assert await (await house.visit()).ask() == ("200", "hello")


async def test_nothing_is_left_of_many_who_came_at_once(house):
    await house.open(most=8)
    visitors = await asyncio.gather(*(asyncio.open_connection(*house.address) for _ in range(300)))
    for _, writer in visitors:
        writer.close()
    async with asyncio.timeout(60):
        while len(house.open_connections) or house.server.connections:
            await asyncio.sleep(0)
    # Nor would one of them give way to somebody now.
    for _ in range(8):
        await house.linger()
    assert (await (await house.visit()).answer())[0] == "503"


async def refused(visitor):
    status, body = await visitor.answer()
    assert status == "503"
    assert json.loads(body)["key"] == "connections"
    assert await visitor.is_gone()
    return True


async def test_one_neighbour_cannot_take_every_place(house):
    await house.open(most=8, of_one=2)
    for _ in range(2):
        await house.linger(NEIGHBOUR)
    assert await refused(await house.visit(NEIGHBOUR))
    assert await (await house.visit(HERE)).ask() == ("200", "hello")
    house.doors.set()


async def test_who_shows_no_token_gives_way_in_the_middle_of_a_request(house):
    await house.open(most=4)
    busy = await house.linger()
    strangers = [await (await house.visit(NEIGHBOUR)).dally() for _ in range(3)]
    fifth = await house.visit(HERE)
    assert await strangers[0].is_gone()
    assert await fifth.ask() == ("200", "hello")
    house.doors.set()
    assert await busy.reader.read() == b"last"


async def test_of_a_crowd_and_one_neighbour_the_crowd_gives_way(house):
    await house.open(most=5)
    single = await (await house.visit(NEIGHBOUR)).dally()  # the oldest of all
    crowd = [await (await house.visit(HOSTS[0])).dally() for _ in range(4)]
    for _ in range(2):
        await house.visit(HOSTS[1])
    assert single.there.connected
    assert await crowd[0].is_gone()
    assert await crowd[1].is_gone()
    assert crowd[2].there.connected


async def test_of_one_source_its_own_idle_connection_gives_way(house):
    await house.open(most=8, of_one=2)
    oldest = await house.visit(HERE)
    own = await house.visit(NEIGHBOUR)
    await house.linger(NEIGHBOUR)
    assert await (await house.visit(NEIGHBOUR)).ask() == ("200", "hello")
    assert await own.is_gone()
    assert await oldest.ask() == ("200", "hello")


async def test_all_other_hosts_together_leave_room_for_this_one_and_it_for_them(house):
    await house.open(most=4, of_side=3)
    for host in HOSTS[:3]:
        await house.linger(host)
    assert await refused(await house.visit(HOSTS[3]))
    await house.linger(HERE)
    house.doors.set()


async def test_who_left_is_not_counted(house):
    await house.open(most=8, of_one=2, of_side=2)
    for _ in range(5):
        visitor = await house.visit(NEIGHBOUR)
        assert await visitor.ask() == ("200", "hello")
        await visitor.leave()
    while len(house.open_connections):
        await asyncio.sleep(0)
    for _ in range(2):
        await house.linger(NEIGHBOUR)
    assert await refused(await house.visit(NEIGHBOUR))
    house.doors.set()


PAGE = b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html,*/*;q=0.8\r\n\r\n"


async def test_a_browser_for_which_there_is_no_room_gets_a_page_that_says_so(house):
    await house.open(most=1, rejected=2)
    await house.linger()
    browser = await house.visit()
    browser.writer.write(PAGE[:20])
    await browser.writer.drain()
    browser.writer.write(PAGE[20:])
    status, body = await browser.answer()
    assert status == "503"
    assert body.startswith("<!doctype html>")
    assert "Too many connections are open" in body
    assert 'http-equiv="refresh" content="10"' in body
    assert await browser.is_gone()
    # A program of the page, or a script.
    program = await house.visit()
    program.writer.write(HELLO)
    assert await refused(program)
    house.doors.set()


ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_monitor_for_which_there_is_no_room_hears_that_the_service_is_alive(house):
    await house.open(most=2, rejected=3)
    for _ in range(2):
        await house.linger(NEIGHBOUR)
    crowd = [await house.visit(NEIGHBOUR) for _ in range(3)]
    monitor = await house.visit(HERE)
    for _ in range(3):
        await house.visit(NEIGHBOUR)
    monitor.writer.write(ALIVE)
    assert await monitor.answer() == ("200", '{"status":"alive"}')
    assert await monitor.is_gone()
    assert await refused(crowd[0])
    other = await house.visit(HERE)
    other.writer.write(ALIVE.replace(b"healthz", b"readyz"))
    assert await refused(other)
    house.doors.set()


async def test_who_is_rejected_and_says_nothing_has_little_time_and_few_have_it(house):
    await house.open(most=1, rejected=1)
    await house.linger()
    silent = await house.visit()
    another = await house.visit()
    assert await refused(silent)
    await house.clock.forward(REJECTED)
    assert await refused(another)
    long = await house.visit()
    long.writer.write(b"GET /" + b"x" * 5000)
    assert await refused(long)
    gone = await house.visit()
    await gone.leave()
    for _ in range(20):
        await asyncio.sleep(0)
    last = await house.visit()
    last.writer.write(PAGE)
    assert (await last.answer())[1].startswith("<!doctype html>")
    house.doors.set()


@pytest.mark.parametrize("descriptors", [16, 64, 256, 1024, 4096, 65_536, 1_048_576])
def test_a_quarter_of_the_descriptors_is_left_for_jobs(descriptors):
    found = share(descriptors)
    assert 2 * found.connections + 4 * found.round + found.rejected <= descriptors * 3 // 4
    assert 1 <= found.of_one <= found.of_side <= found.connections


def test_a_host_with_descriptors_to_spare_has_room_for_every_page():
    assert share(65_536).connections == MOST
    assert share(1024).connections == MOST
    assert share(1024).of_one >= 60
