"""Orders of people while the service starts, and while it gives a job to an engine."""

import asyncio

import aiohttp
import pytest

from tests.fakes.pipeline import hold
from zoetrope.domain.job import State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.errors import EngineDown
from zoetrope.settings import EngineSettings


async def prompts(pipeline):
    """Give the ids of all prompts that the engine has."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{pipeline.engines[0].url}/queue") as answer,
    ):
        queue = await answer.json()
    return {entry[1] for entry in (*queue["queue_running"], *queue["queue_pending"])}


async def test_a_job_is_cancelled_before_its_engine_is_connected(pipeline):
    hold(pipeline)
    job = await pipeline.becomes(await pipeline.drop(), State.RUNNING)
    await pipeline.stop()
    await pipeline.start()
    # As an embedded engine that takes its time to start.
    connect, connected = pipeline.clients[0].start, asyncio.Event()

    async def start():
        await connected.wait()
        await connect()

    pipeline.clients[0].start = start
    cancelled = await pipeline.conductor.cancel(job.id, "changed my mind")
    assert cancelled.state is State.CANCELLED
    assert await prompts(pipeline) == {job.attempt.prompt_id}
    connected.set()
    async with asyncio.timeout(45):
        while await prompts(pipeline):
            await asyncio.sleep(0.01)


async def test_a_job_is_cancelled_in_the_moment_in_which_the_engine_gets_it(pipeline):
    submit, arrived, go_on = pipeline.clients[0].submit, asyncio.Event(), asyncio.Event()

    async def late(*args, **more):
        arrived.set()
        await go_on.wait()
        await submit(*args, **more)

    pipeline.clients[0].submit = late
    hold(pipeline)
    job = await pipeline.drop()
    await arrived.wait()
    cancelled = await pipeline.conductor.cancel(job.id)
    assert cancelled.state is State.CANCELLED
    go_on.set()
    async with asyncio.timeout(45):
        while pipeline.conductor.status().workers[0].in_hand or await prompts(pipeline):
            await asyncio.sleep(0.01)
    assert (await pipeline.ledger.get(job.id)).state is State.CANCELLED


@pytest.mark.parametrize("closed", [False, True])
async def test_an_engine_that_is_not_connected_is_down(closed):
    engine = ComfyEngine(EngineSettings(name="e", url="http://127.0.0.1:9"), "ours")
    if closed:
        await engine.start()
        await engine.close()
    with pytest.raises(EngineDown, match="not connected"):
        await engine.withdraw("1")
    with pytest.raises(EngineDown, match="not connected"):
        await engine.stats()
