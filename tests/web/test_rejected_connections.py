"""What is said to those for whom there is no room."""

import asyncio

from tests.web.house import HELLO, HERE, NEIGHBOUR, refused
from zoetrope.web.connections import REJECTED

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
