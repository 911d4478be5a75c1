"""A cancelled job leaves nothing of it at the engine, and disturbs no other."""

import asyncio

from tests.fakes.pipeline import ask, hold
from zoetrope.domain.job import State


async def test_cancelling_stops_the_engine_and_nobody_else(pipeline):
    hold(pipeline)
    first, second = await pipeline.drop(), await pipeline.drop(stem="dog")
    await pipeline.becomes(first, State.RUNNING)
    await pipeline.conductor.cancel(first.id, "changed my mind")
    pipeline.engines[0].faults.clear()
    await pipeline.becomes(second, State.DONE)
    first = await pipeline.ledger.get(first.id)
    assert (first.state, first.reason.sentence) == (State.CANCELLED, "changed my mind")
    assert len(pipeline.videos()) == 1
    assert [job.id for job in pipeline.given_back] == [first.id]
    await pipeline.conductor.retry(first.id)
    assert [job.id for job in pipeline.taken_back] == [first.id]
    await pipeline.becomes(first, State.DONE)


async def test_cancelling_what_only_waits_at_the_engine_takes_it_back(pipeline):
    hold(pipeline)
    first, second = await pipeline.drop(), await pipeline.drop(stem="dog")
    await pipeline.becomes(first, State.RUNNING)

    async def waiting() -> list[str]:
        return [entry[1] for entry in (await ask(pipeline, "/queue"))["queue_pending"]]

    async with asyncio.timeout(45):
        while not (ids := await waiting()):
            await asyncio.sleep(0.01)
    assert ids == [(await pipeline.ledger.get(second.id)).attempt.prompt_id]
    await pipeline.conductor.cancel(second.id)
    assert not set(ids) & set(await waiting())
    pipeline.engines[0].faults.clear()
    await pipeline.becomes(first, State.DONE)
    assert len(pipeline.videos()) == 1
