"""How many processes work at once, and in which order they get their places."""

import asyncio
import random

import pytest

from zoetrope.places import Kind, Places, fitting

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "memory", "expected"),
    [(2, 4 * GIB, 3), (1, 1 * GIB, 2), (16, 64 * GIB, 17), (32, 16 * GIB, 9), (4, 64 * GIB, 5)],
)
def test_cores_and_memory_bound_them(cores, memory, expected):
    assert fitting(cores, memory) == expected


async def test_there_are_never_more_than_fit_and_each_comes_in_its_turn():
    chance = random.Random(7)
    places = Places(4)
    at_work = dict.fromkeys(Kind, 0)
    most, begun = dict.fromkeys([*Kind, "all"], 0), {kind: [] for kind in Kind}

    async def work(kind, number):
        async with places.take(kind):
            begun[kind].append(number)
            at_work[kind] += 1
            for each in Kind:
                most[each] = max(most[each], at_work[each])
            most["all"] = max(most["all"], sum(at_work.values()))
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            at_work[kind] -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(work(chance.choice(list(Kind)), number))
    assert most == {Kind.PICTURE: 3, Kind.VIDEO: 3, "all": 4}
    for kind in Kind:
        assert begun[kind] == sorted(begun[kind])


@pytest.mark.parametrize(("many", "one"), [tuple(Kind), tuple(Kind)[::-1]])
async def test_one_kind_never_waits_for_the_other(many, one):
    places = Places(2)
    blocked = asyncio.Event()

    async def work():
        async with places.take(many):
            await blocked.wait()

    tasks = [asyncio.create_task(work()) for _ in range(25)]
    await asyncio.sleep(0)
    async with asyncio.timeout(45), places.take(one):
        pass
    blocked.set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_while_waiting_takes_no_place_along():
    places = Places(2)
    async with places.take(Kind.VIDEO):
        waiting = [asyncio.create_task(places.take(Kind.VIDEO).__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    # Its turn comes, and it is cancelled before it notices.
    waiting[1].cancel()
    async with asyncio.timeout(45):
        await waiting[2]
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    assert [task.cancelled() for task in waiting] == [True, True, False]
