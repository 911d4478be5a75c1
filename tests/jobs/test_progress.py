import asyncio

import pytest

from tests.fakes.pipeline import order
from zoetrope.domain.job import State
from zoetrope.engine.protocol import Cached, Started, Step
from zoetrope.graphs.graph import Node
from zoetrope.jobs import stage_results
from zoetrope.jobs.progress import ProgressMeter, eta, silence, weight

GRAPH = {
    "clip": Node("CLIPLoader"),
    "high": Node(
        "KSamplerAdvanced", {"steps": 20, "start_at_step": 0, "end_at_step": 5, "cfg": 3.5}
    ),
    "low": Node(
        "KSamplerAdvanced", {"steps": 20, "start_at_step": 5, "end_at_step": 10000, "cfg": 1.0}
    ),
}


def test_sampler_steps_weigh_what_they_cost():
    # Guidance above 1 evaluates the model twice: 5 such steps cost as much as 10 plain ones.
    assert weight(GRAPH["high"]) == 10
    assert weight(GRAPH["low"]) == 15
    assert weight(Node("ClownsharKSampler_Beta", {"steps": 20, "steps_to_run": 5, "cfg": 1})) == 5
    assert weight(Node("LoadImage")) < 1


def test_the_fraction_grows_with_the_steps_and_never_passes_one():
    meter = ProgressMeter(GRAPH)
    assert meter.fraction == 0
    meter.hear(Started())
    meter.hear(Cached(("clip",)))
    meter.hear(Step("high", 2, 5, ()))
    half_high = meter.fraction
    assert half_high == pytest.approx((0.1 + 4) / 25.1)
    meter.hear(Step("low", 0, 15, ("high",)))
    assert meter.fraction == pytest.approx(10.1 / 25.1)
    meter.hear(Step("low", 15, 15, ("high", "low")))
    assert meter.fraction == pytest.approx(1)
    assert meter.node == "KSamplerAdvanced"


def test_the_guess_starts_with_the_recipe_and_ends_with_the_pace():
    assert eta(0, 0, 960) == 960
    assert eta(100, 0.5, 960) == pytest.approx(100)
    assert eta(2000, 0.01, 960) == 0


@pytest.mark.parametrize(
    ("silent", "elapsed", "fraction", "estimate", "stuck"),
    [
        (170, 170, 0, 10, False),  # within the operator's patience, whatever the estimate
        (190, 190, 0, 10, True),
        (190, 190, 0, 960, False),  # a long stage may load its models for minutes
        (500, 500, 0, 960, True),
        (400, 3000, 0.5, 960, False),  # a slow card: the pace seen allows more than the estimate
        (3100, 6100, 0.5, 960, True),
    ],
)
def test_silence_is_judged_by_what_the_stage_is_expected_to_take(
    silent, elapsed, fraction, estimate, stuck
):
    allowed = silence(
        silent=silent, elapsed=elapsed, fraction=fraction, estimate=estimate, patience=180
    )
    assert (silent > allowed) is stuck


async def test_what_the_engine_has_made_is_said_to_be_fetched_and_then_checked(
    pipeline, monkeypatch
):
    fetch, check = pipeline.clients[0].fetch, stage_results.check
    gates = {"fetch": asyncio.Event(), "check": asyncio.Event()}

    async def held_fetch(*args, **options):
        await gates["fetch"].wait()
        return await fetch(*args, **options)

    async def held_check(*args, **options):
        await gates["check"].wait()
        return await check(*args, **options)

    monkeypatch.setattr(pipeline.clients[0], "fetch", held_fetch)
    monkeypatch.setattr(stage_results, "check", held_check)
    job = await pipeline.drop()

    def brings():
        live = pipeline.conductor.live(job.id)
        return live and (live.stage, live.brings, live.eta, live.silence)

    for what, gate in gates.items():
        await pipeline.until(lambda what=what: brings() == ("i2v", what, None, 0.0))
        gate.set()
    await pipeline.becomes(job, State.DONE)


async def test_progress_is_told_while_a_stage_runs(pipeline):
    order(pipeline, "slow", seconds=0.7, times=0)
    job = await pipeline.drop()
    await pipeline.until(lambda: (live := pipeline.conductor.live(job.id)) and live.maximum == 2)
    live = pipeline.conductor.live(job.id)
    assert live.stage == "i2v"
    assert 0 <= live.fraction < 1
    assert live.node == "KSamplerAdvanced"
    pipeline.engines[0].faults.clear()
    await pipeline.becomes(job, State.DONE)
    await pipeline.until(lambda: pipeline.conductor.live(job.id) is None)


async def test_a_running_stage_says_how_long_it_may_be_silent(pipeline, monkeypatch):
    while_checked = []

    async def check(*args, **more):
        while_checked.append(pipeline.conductor.live(job.id).silence)
        return await real(*args, **more)

    real = stage_results.check
    monkeypatch.setattr(stage_results, "check", check)
    order(pipeline, "slow", seconds=0.7, times=0)
    job = await pipeline.drop()

    def limited():
        live = pipeline.conductor.live(job.id)
        return live is not None and live.silence >= pipeline.jobs_settings.patience_seconds

    await pipeline.until(limited)
    assert pipeline.conductor.live(job.id).moved > 0
    pipeline.engines[0].faults.clear()
    await pipeline.becomes(job, State.DONE)
    assert set(while_checked) == {0.0}, "checking its video may take as long as it likes"
