"""Connections: how many there are, and how long each may take."""

import asyncio

from tests.web.house import HELLO
from zoetrope.web.connections import (
    HEADER,
    IDLE,
    STRANGER,
)

AGES = 100_000.0
CREATE = b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


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
