import asyncio
import contextlib
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.web.fakes import make_parts, settings
from zoetrope.errors import ZoetropeError
from zoetrope.runtime import Runtime
from zoetrope.web import server as module
from zoetrope.web.events import Bus
from zoetrope.web.server import Server


async def test_the_server_starts_answers_and_stops_with_streams_open(parts):
    server = Server(parts, parts.bus)
    await server.start()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/healthz") as response:
            assert response.status == 200
        stream = await session.get(f"{server.url}/api/v1/events")
        async with asyncio.timeout(4):
            await server.stop()
        stream.close()


async def test_what_a_crash_left_of_uploads_is_removed_at_the_start(parts):
    left = parts.settings.state.path / "uploads/abc/image"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    server = Server(parts, parts.bus)
    await server.start()
    await server.stop()
    assert not left.exists()


async def test_an_address_in_use_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        made = settings(tmp_path)
        made = type(made)(
            inbox=made.inbox,
            outbox=made.outbox,
            state=made.state,
            web=type(made.web)(listen=f"127.0.0.1:{port}"),
        )
        server = Server(Runtime(made), Bus(made.outbox.path))
        with pytest.raises(ZoetropeError, match="ss -ltnp"):
            await server.start()


async def test_a_change_of_health_is_told_only_to_those_who_watch(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK", 0.0)
    parts = await make_parts(tmp_path)
    server = Server(parts, parts.bus)
    await server.start()
    reader = parts.bus.subscribe()
    kinds = []
    async with asyncio.timeout(45):
        while "health" not in kinds:
            kinds += [event.kind for event in await reader.take(5)]
    assert kinds == ["hello", "health"]
    parts.bus.leave(reader)
    await server.stop()
    await parts.ledger.close()


ASKED = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def test_two_thousand_connections_leave_nothing_behind(parts):
    server = Server(parts, parts.bus)
    await server.start()
    host, port = server.url.removeprefix("http://").split(":")

    def open_files():
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    async def ask(number):
        reader, writer = await asyncio.open_connection(host, port)
        match number % 10:
            case 0:  # connects and says nothing
                pass
            case 1:  # breaks off in the middle
                writer.write(ASKED[:20])
            case 2:  # goes without the answer, and without a goodbye
                writer.write(ASKED)
                writer.transport.abort()
            case _:
                writer.write(ASKED)
                answered.append((await reader.read()).startswith(b"HTTP/1.1 200"))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def open_here():
        """Count the sockets at the server's port, but for the one that listens."""
        here, listens = f":{int(port):04X}", "0A"
        rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(here) and row[3] != listens and row[9] != "0" for row in rows)

    async def rest():
        """Wait until the server has seen every end."""
        async with asyncio.timeout(45):
            while open_here():
                await asyncio.sleep(0.01)

    answered = []
    for number in range(100):  # what is made once, by the first few, is no leak
        await ask(number)
    await rest()
    files, tasks = open_files(), len(asyncio.all_tasks())
    answered.clear()
    for number in range(2000):
        await ask(number)
    assert answered == [True] * 1400
    async with asyncio.timeout(45):
        while open_files() > files or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"{server.url}/readyz")
        assert (await answer.json())["level"] == "ok"
    await server.stop()
