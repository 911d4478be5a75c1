"""A thousand hostile connections: the service answers others as if there were none, and no job fails."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import random
import resource
import time
from collections.abc import Awaitable, Callable

from tests.bench.table import percentile
from tests.endurance.part import Part
from tests.endurance.processes import FORK
from tests.endurance.world import World
from zoetrope.domain.job import ENDED

CONNECTIONS = 1000
ASKED = 300  # questions at least, in one round
LIMIT = 50.0  # milliseconds
NOBODY = 65534  # the user that hostile connections are of

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def crowd(part: Part) -> None:
    """Time /healthz while many connections do their worst and pictures become videos."""
    if os.geteuid() != 0:
        # The page tells users of this host apart, and this process can only be one of them.
        part.say("only root can be two users; the crowd is left out")
        return
    world = World(part)
    times: list[float] = []
    try:
        world.engine.start()
        world.service.start()
        while len(times) < ASKED or part.left():
            seed = part.random.randrange(2**32)
            foes = FORK.Process(target=_attack, args=(world.service.port, seed))
            foes.start()
            try:
                world.drop()
                times += _ask(part, world)
            finally:
                foes.kill()
                foes.join()
            part.counts["hostile connections"] += CONNECTIONS
            part.tick()
        world.settle()
    finally:
        world.close()
    part.counts["questions in the crowd"] += len(times)
    part.measure("/healthz in a crowd, p99", 1000 * percentile(times, 0.99), "ms", limit=LIMIT)


def _ask(part: Part, world: World) -> list[float]:
    """Ask until the pictures are videos, a fresh connection each time."""
    times = []
    deadline = time.monotonic() + 120
    while len(times) < ASKED or not all(job.state in ENDED for job in world.jobs()):
        part.promise(time.monotonic() < deadline, "in the crowd no video is made")
        begun = time.perf_counter()
        line = http.client.HTTPConnection("127.0.0.1", world.service.port, timeout=10)
        with contextlib.closing(line):
            line.request("GET", "/healthz")
            status = line.getresponse().status
        part.promise(status == 200, f"/healthz answers {status} in the crowd")
        times.append(time.perf_counter() - begun)
        time.sleep(0.01)
    return times


def _attack(port: int, seed: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    asyncio.run(_all(port, random.Random(seed)))


async def _all(port: int, chance: random.Random) -> None:
    async def one(number: int) -> None:
        await asyncio.sleep(chance.uniform(0, 2))
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await TALKS[number % len(TALKS)](reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(chance.uniform(0.5, 2))

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _slow_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for letter in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1000:
        writer.write(bytes([letter]))
        await writer.drain()
        await asyncio.sleep(0.5)


async def _slow_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    )
    for _letter in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01" + random.randbytes(300) + b"\r\n\r\n")
    await reader.read()


async def _huge_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000)
    await writer.drain()
    await reader.read()


async def _foreign(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /api/v1/jobs/1/cancel HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n")  # fmt: skip
    await reader.readuntil(b"\r\n")
    await reader.read()


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for the event stream, and read nothing of it."""
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.sleep(30)


TALKS: tuple[Talk, ...] = (_silent, _slow_head, _slow_body, _garbage, _huge_head, _foreign, _stream)
