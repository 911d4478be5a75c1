"""The queue over a real ledger: what is leased to whom, and what comes back."""

import asyncio

import msgspec
import pytest

from tests.fakes.source_image import plain_image
from zoetrope.dispatch.policy import Worker
from zoetrope.dispatch.queue import LEASE_SECONDS, LeaseLost, Queue
from zoetrope.domain import steps
from zoetrope.domain.job import Job, Stage, State
from zoetrope.domain.values import Ticket
from zoetrope.store.sqlite.ledger import Ledger


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def ledger(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    yield ledger
    await ledger.close()


@pytest.fixture
async def queue(ledger, clock):
    queue = Queue(ledger, clock=clock, monotonic=clock)
    queue.report(worker("a"))
    yield queue
    queue.close()


def worker(name: str, *, up: bool = True) -> Worker:
    return Worker(name=name, up=up, gigabytes=15.6, depth=2)


async def drop(ledger: Ledger, name: str, *, priority: int = 0, not_before: float = 0.0) -> str:
    job = Job(
        id=name.ljust(32, "0"),
        created=1.0,
        updated=1.0,
        state=State.QUEUED,
        stem=name,
        images=(plain_image(),),
        ticket=Ticket(recipe="tiny"),
        priority=priority,
        stages=(Stage(name="i2v", not_before=not_before), Stage(name="upscale")),
    )
    return (await ledger.add(job, claim=job.id)).id


async def test_jobs_are_leased_in_line_and_each_once(ledger, queue):
    ids = [await drop(ledger, name) for name in ("aa", "bb", "cc")]
    first, second = await queue.lease("a"), await queue.lease("a")
    assert [first.job, second.job] == ids[:2]
    assert await queue.lease("a") is None, "one runs, one waits at the engine"
    queue.engine_is_done(first)
    assert (await queue.lease("a")).job == ids[2]


async def test_priority_goes_before_arrival(ledger, queue):
    await drop(ledger, "aa")
    dear = await drop(ledger, "bb", priority=1)
    assert (await queue.lease("a")).job == dear


async def test_what_comes_back_is_leased_again_if_it_still_waits(ledger, queue):
    await drop(ledger, "aa")
    lease = await queue.lease("a")
    queue.give_back(lease)
    again = await queue.lease("a")
    assert (again.job, again.number) == (lease.job, lease.number + 1)
    queue.give_back(again)
    await ledger.change(again.job, lambda j: steps.cancel(j, 2.0, ""))
    assert await queue.lease("a") is None


async def test_a_busy_worker_leaves_the_first_in_line_to_an_idle_one(ledger, queue):
    queue.report(worker("b"))
    ids = [await drop(ledger, name) for name in ("aa", "bb")]
    assert (await queue.lease("a")).job == ids[0]
    assert await queue.lease("a") is None
    assert (await queue.lease("b")).job == ids[1]


async def test_a_worker_that_is_down_or_not_known_gets_nothing(ledger, queue):
    await drop(ledger, "aa")
    queue.report(worker("a", up=False))
    assert await queue.lease("a") is None
    assert await queue.lease("stranger") is None


async def test_a_lease_that_is_not_extended_runs_out_and_the_job_is_offered_again(
    ledger, queue, clock
):
    await drop(ledger, "aa")
    lease = await queue.lease("a")
    queue.report(worker("a", up=False))
    queue.report(worker("b"))
    clock.now += LEASE_SECONDS - 1
    queue.extend(lease)
    clock.now += LEASE_SECONDS - 1
    assert await queue.lease("b") is None
    clock.now += 2
    other = await queue.lease("b")
    assert other.job == lease.job
    with pytest.raises(LeaseLost):
        queue.extend(lease)
    queue.give_back(lease)
    queue.engine_is_done(lease)
    assert await queue.lease("b") is None, "what the first one says of it counts no more"


async def test_a_lease_that_ran_out_and_that_nobody_took_is_taken_up_again(ledger, queue, clock):
    await drop(ledger, "aa")
    lease = await queue.lease("a")
    clock.now += 10 * LEASE_SECONDS
    queue.extend(lease)
    assert await queue.lease("a") is None


async def test_a_job_of_an_earlier_process_counts_as_held(ledger, queue):
    ids = [await drop(ledger, name) for name in ("aa", "bb", "cc")]
    queue.adopt(ids[1], "a")
    assert (await queue.lease("a")).job == ids[0]
    assert await queue.lease("a") is None


async def test_while_it_is_paused_nothing_is_leased(ledger, clock):
    paused = True
    queue = Queue(ledger, paused=lambda: paused, clock=clock, monotonic=clock)
    queue.report(worker("a"))
    await drop(ledger, "aa")
    assert await queue.lease("a") is None
    paused = False
    assert await queue.lease("a") is not None


async def test_a_long_line_of_jobs_that_fit_nobody_hides_no_job_behind_it(
    ledger, queue, monkeypatch
):
    limits, whole = [], ledger.waiting

    async def waiting(now, limit, *, after=None):
        limits.append(limit)
        page = await whole(now, limit, after=after)
        large = {"memory": 80, "ran_on": 79.2}
        return tuple(
            each if each.id.startswith("ff") else msgspec.structs.replace(each, **large)
            for each in page
        )

    monkeypatch.setattr(ledger, "waiting", waiting)
    for number in range(40):
        await drop(ledger, f"{number:04}")
    last = await drop(ledger, "ff")
    lease = await queue.lease("a")
    assert lease.job == last
    assert len(queue.too_large) == 40
    assert all(reason.key == "gpu-too-small" for reason in queue.too_large.values())
    assert limits == [4, 16, 64], "each page is larger than the one before"
    first = next(iter(queue.too_large))
    queue.forget(first)
    assert first not in queue.too_large
    queue.report(msgspec.structs.replace(worker("b"), gigabytes=79.2))
    assert not queue.too_large, "an engine that came since has such a GPU"


async def test_when_the_first_postponed_job_is_due_everybody_is_told(ledger, queue, clock):
    told = asyncio.Event()
    queue.on_offer(told.set)
    await drop(ledger, "aa", not_before=clock.now + 0.01)
    assert await queue.lease("a") is None
    async with asyncio.timeout(45):
        await told.wait()


async def test_a_clock_that_was_far_ahead_and_is_set_right_keeps_no_job_waiting(
    ledger, queue, clock, monkeypatch
):
    monkeypatch.setattr("zoetrope.dispatch.queue.LONGEST_TIMER", 0.01)
    told = asyncio.Event()
    job = await drop(ledger, "aa", not_before=clock.now + 1e9 + 60)
    clock.now += 1e9
    assert await queue.lease("a") is None
    queue.on_offer(told.set)
    clock.now -= 1e9
    async with asyncio.timeout(45):
        await told.wait()
    assert (await queue.lease("a")).job == job


async def test_a_worker_that_comes_up_or_goes_down_has_everybody_look(queue):
    told = []
    queue.on_offer(lambda: told.append(1))
    queue.report(worker("a"))
    assert told == [], "nothing is new"
    queue.report(worker("a", up=False))
    queue.report(worker("b"))
    assert len(told) == 2
