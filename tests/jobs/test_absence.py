"""Engines that stay away: their jobs say what they wait for, move to another engine, and become one video each."""

import asyncio
import logging

import msgspec
import pytest

from tests.fakes.client import send_foreign
from tests.fakes.pipeline import Pipeline, Restartable, ask, hold, order
from tests.fakes.service import free_port
from zoetrope.address import Address
from zoetrope.dispatch.policy import Worker
from zoetrope.domain import steps
from zoetrope.domain.job import Progress, State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.errors import Reason
from zoetrope.jobs.absence import Leaves, Moves, Waits, decide
from zoetrope.jobs.worker import WorkerStatus
from zoetrope.settings import JobsSettings
from zoetrope.web.views import view

WHY = Reason("engine-down", "It does not respond.", "Start it.")
# In seconds, as the pipeline's settings are given in minutes.
SOON = 0.2 / 60
# Nothing listens there.
NOWHERE = Address("http://127.0.0.1:9")


def at_e0(job):
    """Give a job whose present stage is at e0."""
    return steps.submit(job, 2.0, "e0")


@pytest.mark.parametrize(
    ("away", "limit", "e1", "expected", "next_step"),
    [
        (10, 300, Worker(name="e1", up=True, gigabytes=15.6), Waits, "After 5 min another engine"),
        (301, 300, Worker(name="e1", up=True, gigabytes=15.6), Moves, ""),
        (301, 300, Worker(name="e1", up=False, gigabytes=15.6), Waits, "Start it."),
        (301, 0, Worker(name="e1", up=True, gigabytes=15.6), Waits, "Start it."),
        (301, 300, None, Waits, "Start it."),
    ],
)
async def test_a_job_moves_after_the_time_that_is_set_if_there_is_where_to(
    pipeline, away, limit, e1, expected, next_step
):
    job = at_e0(await pipeline.drop())
    workers = [Worker(name="e0", up=False, gigabytes=15.6), *([e1] if e1 else [])]
    decision = decide(job, "e0", WHY, workers, away=away, limit=limit)
    assert isinstance(decision, expected)
    if isinstance(decision, Waits):
        assert decision.reason.sentence == "It waits for the engine e0: It does not respond."
        assert decision.reason.next_step.startswith(next_step)


async def test_what_the_engine_has_nothing_of_is_returned_at_once(pipeline):
    job = await pipeline.drop()
    for gone in (job, steps.cancel(at_e0(job), 3.0)):
        assert decide(gone, "e0", WHY, (), away=1, limit=300) == Leaves()
    assert decide(at_e0(job), "e1", WHY, (), away=1, limit=300) == Leaves()


@pytest.fixture
def quick(monkeypatch):
    """Engines are looked at all the time."""
    monkeypatch.setattr("zoetrope.jobs.absence.QUIET_SECONDS", 0.02)
    monkeypatch.setattr("zoetrope.jobs.absence.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("zoetrope.jobs.engine_watch.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("zoetrope.jobs.engine_watch.LONGEST_RETRY", 0.1)


async def test_a_reload_of_the_settings_ends_no_outage(tmp_path, quick):
    pipeline = Pipeline(tmp_path)
    pipeline.addresses[0] = str(NOWHERE)
    await pipeline.start()
    [before] = pipeline.conductor.status().workers
    await pipeline.stop()
    await pipeline.start()
    await pipeline.until(
        lambda: pipeline.conductor.status().workers[0].reason.key != "engine-unknown"
    )
    assert pipeline.conductor.status().workers[0].since == before.since
    await pipeline.stop()
    del pipeline.addresses[0]
    await pipeline.start()
    await pipeline.until(lambda: pipeline.conductor.status().workers[0].up)
    assert pipeline.conductor.status().workers[0].since > before.since
    await pipeline.close()


@pytest.fixture
async def two(tmp_path, quick):
    """Two engines, of which the first is up."""
    pipeline = Pipeline(tmp_path, engines=2)
    pipeline.jobs_settings = JobsSettings(
        patience_seconds=20, move_minutes=SOON, stuck_minutes=2 * SOON
    )
    await pipeline.engines[1].start(port=free_port())
    await pipeline.engines[1].stop()
    await pipeline.start()
    yield pipeline
    await pipeline.close()


def worker(pipeline: Pipeline, number: int = 0) -> WorkerStatus:
    return pipeline.conductor.status().workers[number]


async def start_second(pipeline: Pipeline) -> None:
    await pipeline.engines[1].start(port=int(pipeline.engines[1].url.rpartition(":")[2]))


async def test_a_job_of_an_engine_that_died_for_good_says_so_and_moves(two):
    hold(two)
    job = await two.becomes(await two.drop(), State.RUNNING)
    await two.until(lambda: two.conductor.live(job.id))
    await two.engines[0].stop()
    waits = await two.waits(job, "engine-wait")
    assert waits.state is State.RUNNING
    assert waits.reason.sentence.startswith("It waits for the engine e0: The engine e0 at http")
    assert view(waits, two.settings.outbox.path, two.conductor.live(job.id)).live is None
    assert two.conductor.live(job.id).eta is None, "nobody knows when it goes on"
    assert two.conductor.status().waiting == {job.id: waits.reason}
    await start_second(two)
    done = await two.becomes(job, State.DONE)
    first = done.stages[0]
    assert [each.engine for each in first.attempts] == ["e0", "e1"]
    assert first.attempts[0].failure.kind == "moved"
    assert "another engine takes over" in first.attempts[0].failure.message
    assert first.attempts[0].prompt_id != first.attempts[1].prompt_id
    assert done.reason is None
    assert two.videos() == [f"cat-{job.short}/cat.mp4"]
    assert not two.conductor.status().waiting


async def test_finished_stages_move_along(two):
    order(two, "no_worker", call=2)  # that of the second stage
    job = await two.drop()

    async def at_second():
        now = await two.ledger.get(job.id)
        return now.stages[0].state is Progress.DONE and now.state is State.RUNNING

    async with asyncio.timeout(45):
        while not await at_second():
            await asyncio.sleep(0.01)
    await two.engines[0].stop()
    await start_second(two)
    done = await two.becomes(job, State.DONE)
    used = [[each.engine for each in stage.attempts] for stage in done.stages]
    assert used == [["e0"], ["e0", "e1"]]


async def test_an_engine_that_is_back_in_time_keeps_its_job(tmp_path, quick):
    pipeline = Pipeline(tmp_path, engines=2)
    pipeline.jobs_settings = JobsSettings(patience_seconds=20, move_minutes=60)
    await pipeline.start()
    # The first of the idle engines takes it, and takes it again.
    await pipeline.until(lambda: all(worker(pipeline, number).up for number in (0, 1)))
    hold(pipeline)
    job = await pipeline.becomes(await pipeline.drop(), State.RUNNING)
    engine = pipeline.engines[0]
    await engine.stop()
    waits = await pipeline.waits(job, "engine-wait")
    assert waits.reason.next_step == "After 60 min another engine takes over (jobs.move_minutes)."
    engine.faults.clear()
    await engine.start(port=int(engine.url.rpartition(":")[2]))
    done = await pipeline.becomes(job, State.DONE)
    assert [each.engine for each in done.stages[0].attempts] == ["e0", "e0"]
    assert done.stages[0].attempts[0].failure.kind == "crash", "it ran there, and was lost"
    assert done.reason is None
    await pipeline.close()


async def test_a_prompt_that_still_waits_where_its_job_moved_from_is_removed(two, monkeypatch):
    monkeypatch.setattr(Restartable, "may_restart", False)
    order(two, "no_worker")
    foreign = await send_foreign(two.engines[0].url)
    job = await two.drop()

    async def waiting():
        return [entry[1] for entry in (await ask(two, "/queue"))["queue_pending"]]

    async with asyncio.timeout(45):
        # The other prompt waits as well, until the engine takes it.
        while not (ids := [each for each in await waiting() if each != foreign]):
            await asyncio.sleep(0.01)
        while await waiting() != ids:
            await asyncio.sleep(0.01)
    assert ids == [(await two.ledger.get(job.id)).attempt.prompt_id]
    # The engine is well, but cannot be reached.
    two.clients[0].address = NOWHERE
    await start_second(two)
    await two.becomes(job, State.DONE)
    assert await waiting() == ids
    # Nothing but the ledger remembers the move.
    await two.stop()
    await two.start()
    async with asyncio.timeout(45):
        while await waiting():
            await asyncio.sleep(0.02)
    assert [e[1] for e in (await ask(two, "/queue"))["queue_running"]] == [foreign]
    assert two.videos() == [f"cat-{job.short}/cat.mp4"]


async def test_what_an_engine_finished_of_a_job_that_moved_is_ignored_and_said_so(two, caplog):
    hold(two)
    job = await two.becomes(await two.drop(), State.RUNNING)
    address, two.clients[0].address = two.clients[0].address, NOWHERE
    await start_second(two)
    done = await two.becomes(job, State.DONE)
    two.engines[0].faults.clear()
    async with asyncio.timeout(45):
        while not await ask(two, f"/history/{job.attempt.prompt_id}"):
            await asyncio.sleep(0.02)
    with caplog.at_level(logging.WARNING, "zoetrope.jobs"):
        two.clients[0].address = address
        await two.until(lambda: "its result is ignored" in caplog.text)
    assert await two.ledger.get(job.id) == done
    assert two.videos() == [f"cat-{job.short}/cat.mp4"]


@pytest.fixture
def on_gpu(monkeypatch):
    """Have engines report memory on a GPU, in which the work of other clients' prompts shows."""
    stats = ComfyEngine.stats

    async def seen(self):
        return msgspec.structs.replace(await stats(self), pool_free=5)

    monkeypatch.setattr(ComfyEngine, "stats", seen)


async def test_an_engine_whose_worker_has_ended_is_found_and_restarted(on_gpu, two):
    """A prompt of another client ends ComfyUI's own thread: its queue never moves again."""
    order(two, "no_worker")
    await send_foreign(two.engines[0].url)
    done = await two.becomes(await two.drop(), State.DONE)
    assert two.clients[0].restarts == 1
    assert [[each.failure for each in stage.attempts] for stage in done.stages] == [[None], [None]]


async def test_where_nobody_may_restart_such_an_engine_it_says_what_to_do_and_its_jobs_move(
    on_gpu, two
):
    two.clients[0].may_restart = False
    order(two, "no_worker")
    foreign = await send_foreign(two.engines[0].url)
    job = await two.drop()
    await two.until(lambda: not worker(two).up)
    waits = await two.waits(job, "engine-wait")
    reason = worker(two).reason
    assert reason.key == "engine-stuck"
    assert "e0 answers but has made no progress" in reason.sentence
    assert "of another client" in reason.sentence
    assert "Restart the engine" in reason.next_step
    assert waits.reason.sentence.endswith(reason.sentence)
    queue = await ask(two, "/queue")
    assert [entry[1] for entry in queue["queue_running"]] == [foreign]
    await start_second(two)
    done = await two.becomes(job, State.DONE)
    assert [each.engine for each in done.stages[0].attempts] == ["e0", "e1"]
    # Its own prompt, which waited there for nothing, is gone from that queue.
    async with asyncio.timeout(45):
        while (await ask(two, "/queue"))["queue_pending"]:
            await asyncio.sleep(0.02)
    await two.engines[0].restart()
    await two.until(lambda: worker(two).up)
