"""An engine that other clients use as well: their prompts are counted, shown, and left alone."""

import asyncio

import aiohttp

from tests.fakes.client import send_foreign
from tests.fakes.pipeline import order
from zoetrope.cli import show
from zoetrope.domain.job import State
from zoetrope.web.views import view


async def test_prompts_of_others_ahead_of_a_job_are_shown_and_no_time_is_promised(
    pipeline, monkeypatch
):
    monkeypatch.setattr("zoetrope.jobs.engine_watch.PROBE_SECONDS", 0.05)
    order(pipeline, "no_worker")
    url = pipeline.engines[0].url
    foreign = [await send_foreign(url), await send_foreign(url)]
    job = await pipeline.drop()
    await pipeline.until(lambda: (live := pipeline.conductor.live(job.id)) and live.behind == 2)
    live = pipeline.conductor.live(job.id)
    assert (live.eta, live.fraction, live.silence) == (None, 0.0, 0.0)
    shown = view(await pipeline.ledger.get(job.id), pipeline.settings.outbox.path, live)
    assert shown.live.behind == 2
    assert show.progress(shown) == "i2v next, behind 2 prompts of other clients"
    await pipeline.until(lambda: pipeline.conductor.status().workers[0].others == 2)
    async with aiohttp.ClientSession() as http:
        await http.post(f"{url}/queue", json={"delete": [foreign[1]]})
    await pipeline.until(lambda: pipeline.conductor.live(job.id).behind == 1)
    await pipeline.engines[0].restart()
    done = await pipeline.becomes(job, State.DONE)
    assert [len(stage.attempts) for stage in done.stages] == [1, 1]
    await pipeline.until(lambda: pipeline.conductor.status().workers[0].others == 0)


async def test_our_own_prompts_ahead_are_no_others(pipeline):
    order(pipeline, "no_worker")
    first = await pipeline.drop()
    await pipeline.becomes(first, State.RUNNING)
    second = await pipeline.drop(stem="dog", colour=7)
    async with asyncio.timeout(45):
        while (await pipeline.ledger.get(second.id)).attempt is None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.4)
    assert pipeline.conductor.live(second.id) is None
    assert pipeline.conductor.status().workers[0].others == 0
    await pipeline.engines[0].restart()
    await pipeline.becomes(second, State.DONE)
