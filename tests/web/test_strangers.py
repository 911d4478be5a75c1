"""Who has no token, at the real server: how much of it they can keep from those who have one."""

import asyncio
import contextlib
import json

import pytest

from tests.web.fakes import make_parts
from tests.web.test_guard import TOKEN
from zoetrope.web import server as module
from zoetrope.web.connections import share
from zoetrope.web.headers import SAFE
from zoetrope.web.server import Server

FILES = 256  # descriptors of the process, as the server is told
HOST = b"Host: 127.0.0.1\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
BEARER = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
ALIVE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
STATUS = b"GET /api/v1/status HTTP/1.1\r\n" + HOST + BEARER + b"\r\n"
STREAM = STATUS.replace(b"/status", b"/events")
# What a stranger may begin and never end.
ENDLESS = {
    "a login whose body has no end": (
        b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: 60000\r\n\r\nt"
    ),
    "a body for an address that wants the token": (
        b"POST /api/v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n\r\nt"
    ),
}


@pytest.fixture
async def server(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr(module, "limit", lambda: FILES)
    parts = await make_parts(tmp_path, f'token_file = "{tmp_path}/token"')
    server = Server(parts, parts.bus)
    await server.start()
    yield server
    await server.stop()
    await parts.ledger.close()


@contextlib.asynccontextmanager
async def connected(server, content):
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(content)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def status(server, content):
    async with asyncio.timeout(45), connected(server, content) as reader:
        return int((await reader.readuntil(b"\r\n")).split()[1])


@pytest.mark.parametrize("content", ENDLESS.values(), ids=list(ENDLESS))
async def test_what_has_no_end_and_no_token_closes_the_page_to_nobody_who_has_one(server, content):
    async with contextlib.AsyncExitStack() as stack:
        stream = await stack.enter_async_context(connected(server, STREAM))
        assert await stream.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        for _ in range(2 * share(FILES).of_one):
            await stack.enter_async_context(connected(server, content))
            assert await status(server, ALIVE) == 200
        assert await status(server, STATUS) == 200
        assert not stream.at_eof()


# What no application sees.
NO_HTTP = {
    "no HTTP": (b"<b>ECHO</b>\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03ECHO\r\n\r\n", 400),
    "a long header": (b"GET / HTTP/1.1\r\nHost: ECHO\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 400),
    "two lengths": (
        b"POST /login HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\nX: ECHO\r\n\r\n",
        400,
    ),
    "no chunk": (
        b"POST /login HTTP/1.1\r\n" + HOST + FORM + b"Transfer-Encoding: chunked\r\n\r\nECHO\r\n",
        400,
    ),
    "an expectation": (
        b"POST /login HTTP/1.1\r\n" + HOST + b"Connection: close\r\nExpect: ECHO\r\n\r\n",
        417,
    ),
    "an address": (b"GET /ECHO HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", 401),
}


@pytest.mark.parametrize(("content", "expected"), NO_HTTP.values(), ids=list(NO_HTTP))
async def test_whatever_came_in_the_answer_is_safe_for_browsers_and_repeats_none_of_it(
    server, content, expected
):
    async with asyncio.timeout(45), connected(server, content) as reader:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    found = dict(line.split(": ", 1) for line in lines)
    assert int(status.split()[1]) == expected
    assert found.items() >= SAFE.items()
    assert found["Cache-Control"] == "no-store"
    assert found["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == expected
    assert "Server" not in found
    assert b"ECHO" not in head + body
    assert b"aiohttp" not in head + body


async def test_those_who_have_the_token_may_take_every_place_and_the_monitor_is_answered(server):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(share(FILES).of_one):
            stream = await stack.enter_async_context(connected(server, STREAM))
            assert await stream.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        assert await status(server, STATUS) == 503
        assert await status(server, ALIVE) == 200
