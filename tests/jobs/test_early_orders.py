"""Orders of people while the service starts, and while it gives a job to an engine."""

import asyncio

import aiohttp
import pytest

from tests.fakes.street import order
from zoetrope.domain.job import State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.errors import EngineDown
from zoetrope.settings import EngineSettings


async def prompts(street):
    """Give the ids of all prompts that the engine has."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{street.engines[0].url}/queue") as answer,
    ):
        queue = await answer.json()
    return {entry[1] for entry in (*queue["queue_running"], *queue["queue_pending"])}


async def test_a_job_is_cancelled_before_its_engine_is_connected(street):
    order(street, "slow", seconds=0.2, times=0)
    job = await street.becomes(await street.drop(), State.RUNNING)
    await street.stop()
    await street.start()
    # As an embedded engine that takes its time to start.
    connect, connected = street.clients[0].start, asyncio.Event()

    async def start():
        await connected.wait()
        await connect()

    street.clients[0].start = start
    cancelled = await street.conductor.cancel(job.id, "changed my mind")
    assert cancelled.state is State.CANCELLED
    assert await prompts(street) == {job.attempt.prompt_id}
    connected.set()
    async with asyncio.timeout(10):
        while await prompts(street):
            await asyncio.sleep(0.01)


async def test_a_job_is_cancelled_in_the_moment_in_which_the_engine_gets_it(street):
    submit, arrived, go_on = street.clients[0].submit, asyncio.Event(), asyncio.Event()

    async def late(*args, **more):
        arrived.set()
        await go_on.wait()
        await submit(*args, **more)

    street.clients[0].submit = late
    order(street, "slow", seconds=0.2, times=0)
    job = await street.drop()
    await arrived.wait()
    cancelled = await street.conductor.cancel(job.id)
    assert cancelled.state is State.CANCELLED
    go_on.set()
    async with asyncio.timeout(10):
        while street.conductor.status().workers[0].in_hand or await prompts(street):
            await asyncio.sleep(0.01)
    assert (await street.ledger.get(job.id)).state is State.CANCELLED


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
