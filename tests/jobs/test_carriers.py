"""What carries jobs ends with the service's part, also where that ends before its work began."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.pipeline import hold
from zoetrope.domain.job import State
from zoetrope.jobs import recovery


def carriers() -> list[asyncio.Task[None]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("job-")]


async def test_what_was_taken_up_before_a_start_failed_is_carried_by_one_part_alone(
    pipeline, monkeypatch
):
    hold(pipeline)
    job = await pipeline.drop()
    await pipeline.becomes(job, State.RUNNING)
    await pipeline.stop()
    assert carriers() == []

    async def fails(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "sweep", fails)
        await pipeline.start()
        with pytest.raises(ExceptionGroup):
            await pipeline.failed()
    assert carriers() == []
    pipeline.engines[0].faults.clear()
    await pipeline.start()
    job = await pipeline.becomes(job, State.DONE)
    assert [len(stage.attempts) for stage in job.stages] == [1, 1]
