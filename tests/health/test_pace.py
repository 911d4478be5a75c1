"""The check of how long stages take."""

import msgspec

from tests.fakes.source_image import plain_image
from tests.jobs.test_durations import make
from tests.web.fakes import WorkerStatus
from zoetrope.domain.query import JobQuery
from zoetrope.engine.protocol import Stats
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.health.checks.pace import PaceCheck


async def finish(parts, seconds, attention="sageattn"):
    job = make(ended=10.0 + seconds)
    stage = job.stages[0]
    attempt = msgspec.structs.replace(stage.attempts[0], attention=attention)
    stage = msgspec.structs.replace(stage, attempts=(attempt,))
    number = len(await parts.ledger.all_in(job.state))
    job = msgspec.structs.replace(job, id=f"{number:032x}", stages=(stage,))
    await parts.ledger.add(job, claim=job.id)


async def test_before_the_first_video_there_is_nothing_to_say(parts):
    assert await PaceCheck(parts).look() is None


async def test_a_slow_stage_is_degraded_with_its_likely_causes(parts):
    for _ in range(6):
        await finish(parts, 100.0)
    assert (await PaceCheck(parts).look()).level == "ok"
    await finish(parts, 300.0, attention="sdpa")
    verdict = await PaceCheck(parts).look()
    assert verdict.level == "degraded"
    assert "took 300 s; it usually takes 100 s." in verdict.found
    assert verdict.next_step.startswith(
        "Likely causes, in this order: the attention kernel is sdpa"
    )


async def test_an_engine_that_computes_on_processors_is_not_told_of_its_gpu(parts):
    for seconds in (*6 * [100.0], 300.0):
        await finish(parts, seconds)
    name = (await parts.ledger.page(JobQuery(limit=1)))[0].job.stages[0].attempts[0].engine
    parts.conductor.workers = [WorkerStatus(name=name, stats=Stats(version="1", pool_free=None))]
    verdict = await PaceCheck(parts).look()
    assert "computes on processors" in verdict.next_step
    assert "LoRA" not in verdict.next_step
    parts.conductor.workers = [WorkerStatus(name=name, stats=Stats(version="1"))]
    assert "LoRA" in (await PaceCheck(parts).look()).next_step


async def test_a_recipes_first_stage_is_held_against_its_document(parts):
    parts.recipes = Recipes((shipped(),))
    image = plain_image(sha256="", format="png", width=480, height=832, source="", file="")
    recipe = "wan22-i2v-lightning"
    job = make(recipe=recipe, steps=4, ended=10.0 + 120.0, memory=32.0, images=(image,))
    await parts.ledger.add(job, claim=job.id)
    verdict = await PaceCheck(parts).look()
    assert verdict.level == "degraded"
    assert "took 120 s; at most 85 s are expected (two-pass document" in verdict.found


async def test_it_is_not_worked_out_anew_at_every_look(parts):
    now = [0.0]
    check = PaceCheck(parts, clock=lambda: now[0])
    assert await check.look() is None
    await finish(parts, 100.0)
    assert await check.look() is None
    now[0] = 61.0
    assert (await check.look()).level == "ok"
