"""A pause: nothing starts, what runs goes on, and a restart changes nothing of it."""

import asyncio
import time
from unittest.mock import AsyncMock

import msgspec
import pytest

from tests.fakes.pipeline import Pipeline, hold
from zoetrope.dispatch.pause import Pause
from zoetrope.domain.hours import parse
from zoetrope.domain.job import Progress, State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import QueueEntry, Stats
from zoetrope.errors import EngineDown
from zoetrope.jobs.idle import IdleMemory
from zoetrope.jobs.pause import Pauses, local, read


class Clock:
    now = 1_764_244_800.0

    def __call__(self) -> float:
        return self.now


def pauses(file, clock, hours=None, said=None) -> Pauses:
    found = Pauses(
        file, hours, lambda: heard.append(found.standstill()), clock=clock, offset=lambda _: 0.0
    )
    heard = said if said is not None else []
    return found


# ---- whole jobs


async def both_at_engine(pipeline: Pipeline) -> None:
    """Wait until one prompt runs at the engine and one waits there."""
    async with asyncio.timeout(45):
        while len(await pipeline.clients[0].queue()) < 2:
            await asyncio.sleep(0.01)


async def test_a_pause_lets_the_running_stage_end_and_starts_no_other(pipeline):
    hold(pipeline)
    first, second = await pipeline.drop(), await pipeline.drop(stem="dog")
    await pipeline.becomes(first, State.RUNNING)
    client = pipeline.clients[0]
    await both_at_engine(pipeline)
    await pipeline.conductor.pause()
    assert len(await client.queue()) == 1, "what only waits at the engine is taken back"
    pipeline.engines[0].faults.clear()
    first = await pipeline.becomes(first, State.QUEUED)
    assert first.stage.name == "upscale"
    await pipeline.until(lambda: not pipeline.conductor.status().workers[0].in_hand)
    second = await pipeline.ledger.get(second.id)
    assert (second.state, second.stage.attempts) == (State.QUEUED, ())
    assert len(await client.queue()) == 0
    await pipeline.conductor.resume()
    for job in (first, second):
        await pipeline.becomes(job, State.DONE)
    assert len(pipeline.videos()) == 2


async def test_a_pause_may_interrupt_what_runs_and_the_stage_begins_anew(pipeline):
    hold(pipeline)
    job = await pipeline.drop()
    await pipeline.becomes(job, State.RUNNING)
    await pipeline.conductor.pause(now=True)
    job = await pipeline.becomes(job, State.QUEUED)
    (attempt,) = job.stage.attempts
    assert (attempt.state, attempt.failure.kind) == (Progress.FAILED, "paused")
    await pipeline.until(lambda: not pipeline.conductor.status().workers[0].in_hand)
    pipeline.engines[0].faults.clear()
    await pipeline.conductor.resume()
    job = await pipeline.becomes(job, State.DONE)
    assert [each.number for each in job.stages[0].attempts] == [1, 2]
    assert len(pipeline.videos()) == 1


async def test_a_pause_outlasts_a_restart_and_takes_back_what_waits_at_the_engine(pipeline):
    hold(pipeline)
    first, second = await pipeline.drop(), await pipeline.drop(stem="dog")
    await pipeline.becomes(first, State.RUNNING)
    await both_at_engine(pipeline)
    # Killed at the moment at which the pause became durable.
    await pipeline.stop()
    pipeline.settings.pause_file.write_bytes(msgspec.json.encode(Pause(since=1.0)))
    await pipeline.start()
    assert pipeline.conductor.status().standstill.by_user
    async with asyncio.timeout(45):
        while (await pipeline.ledger.get(second.id)).stage.attempts:
            await asyncio.sleep(0.01)
    pipeline.engines[0].faults.clear()
    await pipeline.until(lambda: not pipeline.conductor.status().workers[0].in_hand)
    assert (await pipeline.ledger.get(first.id)).stage.name == "upscale"
    await pipeline.conductor.resume()
    assert not pipeline.settings.pause_file.exists()
    for job in (first, second):
        await pipeline.becomes(job, State.DONE)


async def test_outside_the_hours_nothing_starts(tmp_path):
    pipeline = Pipeline(tmp_path)
    now = time.time()
    minute = int((now + local(now)) % 86_400 // 60)
    begin, end = (minute + 120) % 1440, (minute + 121) % 1440
    hours = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    pipeline.jobs_settings = msgspec.structs.replace(pipeline.jobs_settings, hours=hours)
    await pipeline.start()
    try:
        await pipeline.until(lambda: pipeline.conductor.status().workers[0].up)
        job = await pipeline.drop()
        found = pipeline.conductor.status().standstill
        assert (found.by_user, found.reason.key) == (False, "hours")
        assert (await pipeline.ledger.get(job.id)).state is State.QUEUED
        assert not (await pipeline.ledger.get(job.id)).stage.attempts
        await pipeline.conductor.resume()
        assert pipeline.conductor.status().standstill == found
        await pipeline.conductor.resume(now=True)
        assert pipeline.conductor.status().outside_hours.until == found.until
        await pipeline.becomes(job, State.DONE)
    finally:
        await pipeline.close()


async def test_a_pause_has_the_engines_memory_freed_once_nothing_runs_there(tmp_path, monkeypatch):
    real = Stats(version="0.27.1", device="a GPU", vram_total=16 << 30)
    free = AsyncMock()
    monkeypatch.setattr(ComfyEngine, "stats", AsyncMock(return_value=real))
    monkeypatch.setattr(ComfyEngine, "free", free)
    monkeypatch.setattr("zoetrope.jobs.idle.SOON", 0.05)
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    try:
        hold(pipeline)
        job = await pipeline.drop()
        await pipeline.becomes(job, State.RUNNING)
        await pipeline.conductor.pause()
        pipeline.engines[0].faults.clear()
        await pipeline.until(lambda: not pipeline.conductor.status().workers[0].in_hand)
        await pipeline.until(lambda: free.await_count)
        assert (await pipeline.ledger.get(job.id)).stage.name == "upscale"
        assert free.await_count == 1
    finally:
        await pipeline.close()


# ---- the pause alone


async def test_a_pause_ends_by_itself_and_its_file_with_it(tmp_path):
    clock, said = Clock(), []
    paused = pauses(tmp_path / "pause.json", clock, said=said)
    await paused.begin(60)
    assert read(tmp_path / "pause.json", clock()) == Pause(since=clock.now, until=clock.now + 60)
    clock.now += 61
    assert paused.standstill() is None
    run = asyncio.create_task(paused.run())
    async with asyncio.timeout(45):
        while said[-1] is not None:
            await asyncio.sleep(0.01)
    run.cancel()
    assert not (tmp_path / "pause.json").exists()


async def test_the_hours_begin_in_time_and_are_said(tmp_path):
    clock, said = Clock(), []
    clock.now += 21 * 3600 + 3599.9 - clock.now % 86_400
    paused = pauses(tmp_path / "pause.json", clock, parse("22:00-07:00"), said)
    assert paused.standstill().until - clock.now == pytest.approx(0.1, abs=0.01)
    run = asyncio.create_task(paused.run())
    await asyncio.sleep(0)
    clock.now += 0.2
    async with asyncio.timeout(45):
        while not said:
            await asyncio.sleep(0.01)
    run.cancel()
    assert said == [None]


async def test_a_second_pause_keeps_since_when_and_changes_until_when(tmp_path):
    clock = Clock()
    paused = pauses(tmp_path / "pause.json", clock)
    await paused.begin()
    since = clock.now
    clock.now += 50
    await paused.begin(60)
    found = paused.standstill()
    assert (found.since, found.until) == (since, clock.now + 60)
    await paused.end()
    await paused.end()
    assert paused.standstill() is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"since": -1}', b"[" * 100_000, b"\xff"])
def test_a_pause_that_cannot_be_read_is_one_until_it_is_ended(tmp_path, content):
    file = tmp_path / "pause.json"
    file.write_bytes(content)
    assert read(file, 5.0) == Pause(since=5.0)
    assert read(tmp_path / "none.json", 5.0) is None


def shows(found: Pauses) -> tuple[str, bool]:
    """Tell why nothing starts, and whether stages run outside the hours."""
    stands = found.standstill()
    return stands.reason.key if stands is not None else "", found.outside_hours() is not None


async def test_a_user_has_stages_run_outside_the_hours_until_these_begin(tmp_path):
    clock, night = Clock(), parse("22:00-07:00")
    clock.now += 43_200 - clock.now % 86_400
    file = tmp_path / "pause.json"
    said = []
    first = pauses(file, clock, night, said)
    assert shows(first) == ("hours", False)
    await first.end(now=True)
    assert shows(first) == ("", True)
    assert said == [None]
    # A restart, another pause's end, and no pause's end change nothing of it.
    restarted = pauses(file, clock, night)
    await restarted.end()
    assert shows(restarted) == ("", True)
    clock.now += 12 * 3600
    assert shows(restarted) == ("", False), "the hours have begun"
    run = asyncio.create_task(restarted.run())
    async with asyncio.timeout(45):
        while (tmp_path / "run-now.json").exists():
            await asyncio.sleep(0.01)
    run.cancel()
    clock.now += 9 * 3600
    for each in (restarted, pauses(file, clock, night)):
        assert shows(each) == ("hours", False)
    # Within the hours, and without hours, there is nothing to overrule.
    clock.now += 14 * 3600
    for hours in (night, None):
        await pauses(file, clock, hours).end(now=True)
        assert not (tmp_path / "run-now.json").exists()


async def test_a_pause_ends_what_runs_outside_the_hours_and_its_end_leaves_them(tmp_path):
    clock, night = Clock(), parse("22:00-07:00")
    clock.now += 43_200 - clock.now % 86_400
    file = tmp_path / "pause.json"
    found = pauses(file, clock, night)
    await found.end(now=True)
    kept = (tmp_path / "run-now.json").read_bytes()
    await found.begin(60)
    assert shows(found) == ("paused", False)
    clock.now += 61
    assert shows(found) == ("hours", False)
    # Killed between the two writes.
    (tmp_path / "run-now.json").write_bytes(kept)
    restarted = pauses(file, clock, night)
    assert shows(restarted) == ("hours", False)
    await restarted.end()
    assert shows(pauses(file, clock, night)) == ("hours", False)
    for content in (b"", b"{", b'{"since": -1}', b"[" * 100_000):
        (tmp_path / "run-now.json").write_bytes(content)
        assert shows(pauses(file, clock, night)) == ("hours", False)


# ---- the memory of an idle engine


class Engine:
    """An engine that counts what it is asked."""

    name = "e0"

    def __init__(self) -> None:
        self.queued = 0
        self.freed = 0
        self.down = False

    async def queue(self) -> tuple[QueueEntry, ...]:
        if self.down:
            raise EngineDown("It does not answer.")
        return tuple(QueueEntry(prompt_id=str(number)) for number in range(self.queued))

    async def free(self) -> None:
        if self.down:
            raise EngineDown("It does not answer.")
        self.freed += 1


class Host:
    """An engine on a host, and what is known of both."""

    def __init__(self, after: float | None = 600.0) -> None:
        self.engine, self.clock = Engine(), Clock()
        self.ours, self.paused, self.stats = 0, False, Stats(version="0.27.1")
        self.memory = IdleMemory(
            self.engine,  # type: ignore[arg-type]
            after=after,
            stats=lambda: self.stats,
            ours=lambda: self.ours,
            standstill=lambda: self.paused,
            clock=self.clock,
        )

    async def after(self, seconds: float) -> int:
        self.clock.now += seconds
        await self.memory.look()
        return self.engine.freed


async def test_memory_is_freed_after_a_while_and_once():
    host = Host()
    assert await host.after(599) == 0
    assert await host.after(2) == 1
    assert await host.after(6000) == 1
    host.ours = host.engine.queued = 1
    assert await host.after(1) == 1
    host.ours = host.engine.queued = 0
    assert await host.after(599) == 1
    assert await host.after(2) == 2


async def test_others_prompts_keep_the_memory():
    host = Host()
    host.engine.queued = 1
    assert await host.after(601) == 0
    host.paused = True
    assert await host.after(1) == 0
    host.engine.queued, host.paused = 0, False
    assert await host.after(599) == 0
    assert await host.after(2) == 1


async def test_a_pause_frees_at_once_what_is_idle_even_where_it_never_happens_by_itself():
    host = Host(after=None)
    assert await host.after(100_000) == 0
    host.paused = True
    assert await host.after(1) == 1


async def test_neither_a_simulated_engine_nor_one_that_is_down_is_asked():
    host = Host()
    host.stats = Stats(version="0.27.1", simulated=True)
    assert await host.after(601) == 0
    host.stats, host.engine.down = Stats(version="0.27.1"), True
    assert await host.after(1) == 0
    host.engine.down = False
    assert await host.after(1) == 1
