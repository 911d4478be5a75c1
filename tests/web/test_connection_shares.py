"""Who gives way, and who is kept out, where connections are as many as there may be."""

import asyncio
import json

import pytest

from tests.web.house import HERE, NEIGHBOUR, refused
from zoetrope.web.connections import MOST, share
from zoetrope.web.peer import Source

HOSTS = [Source(f"192.0.2.{number}") for number in range(9)]


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


@pytest.mark.parametrize("descriptors", [16, 64, 256, 1024, 4096, 65_536, 1_048_576])
def test_a_quarter_of_the_descriptors_is_left_for_jobs(descriptors):
    found = share(descriptors)
    assert 2 * found.connections + 4 * found.round + found.rejected <= descriptors * 3 // 4
    assert 1 <= found.of_one <= found.of_side <= found.connections


def test_a_host_with_descriptors_to_spare_has_room_for_every_page():
    assert share(65_536).connections == MOST
    assert share(1024).connections == MOST
    assert share(1024).of_one >= 60
