"""What an earlier process left at an engine is found again, or tried again."""

import asyncio

import msgspec

from tests.fakes.pipeline import ask, hold
from zoetrope.domain.job import State


async def test_a_service_that_stops_leaves_the_prompt_running_and_finds_it_again(pipeline):
    hold(pipeline)
    job = await pipeline.drop()
    running = await pipeline.becomes(job, State.RUNNING)
    await pipeline.stop()
    await pipeline.start()
    pipeline.engines[0].faults.clear()
    job = await pipeline.becomes(job, State.DONE)
    assert job.stages[0].attempts[0].prompt_id == running.attempt.prompt_id
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_prompt_that_ended_while_nobody_looked_is_brought_home(pipeline):
    hold(pipeline)
    job = await pipeline.drop()
    running = await pipeline.becomes(job, State.RUNNING)
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    async with asyncio.timeout(45):
        while not await ask(pipeline, f"/history/{running.attempt.prompt_id}"):
            await asyncio.sleep(0.01)
    await pipeline.start()
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_prompt_lost_with_its_engine_while_nobody_looked_is_tried_again(pipeline):
    hold(pipeline)
    job = await pipeline.drop()
    await pipeline.becomes(job, State.RUNNING)
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    await pipeline.engines[0].restart()
    await pipeline.start()
    job = await pipeline.becomes(job, State.DONE)
    assert [a.failure.kind if a.failure else None for a in job.stages[0].attempts] == [
        "crash",
        None,
    ]


async def test_a_job_of_an_engine_that_is_no_longer_set_moves_to_another(pipeline):
    hold(pipeline)
    job = await pipeline.drop()
    await pipeline.becomes(job, State.RUNNING)
    moved = await pipeline.ledger.change(
        job.id,
        lambda j: msgspec.structs.replace(
            j,
            stages=(
                msgspec.structs.replace(
                    j.stages[0],
                    attempts=(msgspec.structs.replace(j.stages[0].attempts[0], engine="gone"),),
                ),
                j.stages[1],
            ),
        ),
    )
    assert moved.attempt.engine == "gone"
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    await pipeline.start()
    job = await pipeline.becomes(job, State.DONE)
    assert job.stages[0].attempts[-1].engine == "e0"
