import asyncio
import json
import socket
import tracemalloc

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.web.fakes import make_job
from zoetrope.domain.job import State
from zoetrope.domain.values import Ticket
from zoetrope.jobs.progress import Live
from zoetrope.web.events import BACKLOG, BACKLOG_BYTES, KEPT, KEPT_BYTES, Bus, Reader
from zoetrope.web.server import make_app
from zoetrope.web.views import view


class Handle:
    def __init__(self, cancel):
        self.cancel = cancel


class Timers:
    """A clock that is moved by hand, with the calls that wait for it."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def later(self, seconds, call):
        entry = (self.now + seconds, call)
        self.calls.append(entry)
        return Handle(lambda: entry in self.calls and self.calls.remove(entry))

    def move(self, seconds):
        self.now += seconds
        for entry in [entry for entry in self.calls if entry[0] <= self.now]:
            self.calls.remove(entry)
            entry[1]()


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def bus(tmp_path, timers):
    return Bus(tmp_path, kept=4, clock=lambda: timers.now, later=timers.later)


def live(value):
    return Live(stage="i2v", engine="comfyui", value=value, maximum=100, fraction=value / 100)


async def seen(reader):
    return [(event.kind, msgspec.json.decode(event.data)) for event in await reader.take(timeout=0)]


async def test_progress_is_told_four_times_a_second_and_the_newest_is_never_lost(bus, timers):
    reader = bus.subscribe()
    await reader.take(0)
    told = []
    for step in range(101):
        bus.progress("j", live(step))
        told += [data["live"]["value"] for _, data in await seen(reader)]
        timers.move(0.01)
    timers.move(1.0)
    told += [data["live"]["value"] for _, data in await seen(reader)]
    assert 5 <= len(told) <= 6
    assert told[-1] == 100


async def test_two_jobs_do_not_slow_each_other(bus):
    reader = bus.subscribe()
    await reader.take(0)
    bus.progress("a", live(1))
    bus.progress("b", live(2))
    assert [data["id"] for _, data in await seen(reader)] == ["a", "b"]


async def test_the_last_progress_comes_before_the_step_it_led_to(bus):
    job = make_job(State.RUNNING)
    reader = bus.subscribe()
    await reader.take(0)
    bus.progress(job.id, live(1))
    bus.progress(job.id, live(100))
    bus.job(msgspec.structs.replace(job, state=State.DONE))
    events = await seen(reader)
    assert [kind for kind, _ in events] == ["progress", "job"]
    assert events[0][1]["live"]["value"] == 100
    assert events[1][1]["live"] is None


async def test_a_running_jobs_event_carries_the_progress_known(bus):
    job = make_job(State.RUNNING)
    bus.progress(job.id, live(40))
    reader = bus.subscribe()
    await reader.take(0)
    bus.job(job)
    ((_, data),) = await seen(reader)
    assert data["live"]["value"] == 40


async def test_a_returning_reader_gets_what_it_missed(bus):
    first = bus.subscribe()
    jobs = [make_job() for _ in range(3)]
    bus.job(jobs[0])
    last = (await first.take(0))[-1]
    bus.leave(first)
    bus.job(jobs[1])
    bus.progress(jobs[2].id, live(3))
    second = bus.subscribe(bus.name(last))
    events = await seen(second)
    assert events[0] == ("hello", {"resumed": True})
    assert [data["id"] for _, data in events[1:]] == [jobs[1].id, jobs[2].id]


LOST = [
    ("hello", {"resumed": False}),
    ("resync", {"why": "Events are missing; ask for the jobs again."}),
]


async def test_a_reader_that_was_away_too_long_is_told_to_ask_again(bus):
    bus.job(make_job())
    old = f"{bus.era}-1"
    for _ in range(5):  # one more than is kept
        bus.job(make_job())
    assert await seen(bus.subscribe(old)) == LOST


async def test_what_is_kept_is_bounded_in_bytes_as_well(tmp_path):
    job = make_job()
    bus = Bus(tmp_path, kept_bytes=2 * len(msgspec.json.encode(view(job, tmp_path))))
    for _ in range(10):
        bus.job(job)
    kept = [seq for seq in range(11) if await seen(bus.subscribe(f"{bus.era}-{seq}")) != LOST]
    assert kept == [8, 9, 10]


async def test_a_reader_that_missed_more_than_a_backlog_is_given_all_that_is_kept(tmp_path):
    bus = Bus(tmp_path)
    for _ in range(KEPT):
        bus.job(make_job())
    reader = bus.subscribe(f"{bus.era}-0")
    bus.job(make_job())
    assert not reader.closed
    assert len(await reader.take(0)) == 1 + KEPT + 1
    for _ in range(BACKLOG):
        bus.job(make_job())
    assert not reader.closed
    bus.job(make_job())
    assert reader.closed


async def test_a_new_reader_is_not_told_that_it_missed_anything(bus):
    bus.job(make_job())
    assert await seen(bus.subscribe(None)) == LOST[:1]


@pytest.mark.parametrize("name", ["x", "other-1", "{era}-9", "{era}-", "{era}--1", "{era}-٣"])
async def test_an_id_of_another_life_does_not_resume(bus, name):
    bus.job(make_job())
    assert await seen(bus.subscribe(name.format(era=bus.era))) == LOST


async def test_a_reader_that_does_not_read_is_let_go(bus):
    reader = bus.subscribe()
    for _ in range(BACKLOG + 1):
        bus.job(make_job())
    assert reader.closed
    assert await reader.take(timeout=10) == []


async def test_a_few_events_of_great_length_are_a_backlog_too(bus):
    reader = bus.subscribe()
    large = make_job(ticket=Ticket(recipe="r", prompt="x" * (BACKLOG_BYTES // 2)))
    bus.job(large)
    assert not reader.closed
    bus.job(large)
    assert reader.closed


async def test_progress_alone_never_fills_a_backlog(bus, timers):
    reader = bus.subscribe()
    for step in range(10 * BACKLOG):
        timers.move(1)
        bus.progress("j", live(step))
    assert not reader.closed
    assert len(await reader.take(0)) == 2


async def test_a_reader_waits_until_something_happens(bus):
    reader = Reader()
    waiting = asyncio.create_task(reader.take(timeout=30))
    await asyncio.sleep(0)
    reader.close()
    assert await waiting == []


async def lines(response, until):
    """Read events off a stream until one of a kind has come."""
    found = []
    event = {}
    async with asyncio.timeout(45):
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if line.startswith(":"):
                found.append({"comment": line})
            elif line:
                key, _, value = line.partition(": ")
                event[key] = value
            elif "event" in event:
                found.append(event)
                event = {}
            if found and until in (found[-1].get("event"), found[-1].get("comment")):
                return found
    raise AssertionError(found)


async def test_the_stream_tells_jobs_and_can_be_resumed(client, parts):
    first = await client.get("/api/v1/events")
    assert first.content_type == "text/event-stream"
    assert first.headers["Cache-Control"] == "no-store"
    (hello,) = await lines(first, "hello")
    assert json.loads(hello["data"]) == {"resumed": False}
    job = make_job()
    await parts.ledger.add(job, claim="1")
    told = (await lines(first, "job"))[-1]
    assert json.loads(told["data"])["id"] == job.id
    first.close()
    other = make_job()
    await parts.ledger.add(other, claim="2")
    second = await client.get("/api/v1/events", headers={"Last-Event-ID": told["id"]})
    events = await lines(second, "job")
    assert json.loads(events[0]["data"]) == {"resumed": True}
    assert json.loads(events[-1]["data"])["id"] == other.id
    second.close()


async def test_a_silent_stream_shows_that_it_is_alive(client):
    response = await client.get("/api/v1/events")
    assert (await lines(response, ": still here"))[-1]
    response.close()


async def test_a_client_that_never_reads_is_dropped_and_costs_little(parts):
    app = make_app(parts, parts.bus, patience=0.1)
    large = make_job(ticket=Ticket(recipe="r", prompt="x" * 50_000))
    async with TestClient(TestServer(app)) as client:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect((client.server.host, client.server.port))
            line.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(45):
                while not parts.bus.readers:
                    await asyncio.sleep(0)
                tracemalloc.start()
                sent = 0
                while parts.bus.readers:
                    parts.bus.job(large)
                    sent += 50_000
                    await asyncio.sleep(0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    # What is kept for those who come back, and one reader's backlog.
    assert peak < KEPT_BYTES + BACKLOG_BYTES + 2_000_000
    assert sent > peak


async def test_the_streams_end_when_the_service_stops(client, parts):
    response = await client.get("/api/v1/events")
    await lines(response, "hello")
    parts.bus.close()
    async with asyncio.timeout(45):
        await response.content.read()  # returns at the stream's end only
    assert parts.bus.readers == 0
