"""A begun job goes on only where its plan has room."""

import shutil
from unittest.mock import AsyncMock

import msgspec
import pytest

from tests.fakes.pipeline import RECIPES, Pipeline, hold, order, receipt
from zoetrope.domain.job import Job, State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Stats

CLASSES = """
[memory.16]
pixels = 4096
[memory.80]
pixels = 16384
"""


def card(gigabytes: float) -> AsyncMock:
    return AsyncMock(
        return_value=Stats(version="0.27.1", device="a card", vram_total=int(gigabytes * 2**30))
    )


@pytest.fixture
async def pipeline(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    with (tmp_path / "recipes" / "tiny" / "recipe.toml").open("a") as file:
        file.write(CLASSES)
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    yield pipeline
    await pipeline.close()


async def test_a_begun_job_waits_for_a_card_as_large_as_its_plan(pipeline, monkeypatch):
    monkeypatch.setattr(ComfyEngine, "stats", card(79.2))
    await pipeline.start()
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    assert (job.plan.memory, job.plan.width) == (80, 128)
    await pipeline.stop()
    monkeypatch.setattr(ComfyEngine, "stats", card(15.6))
    await pipeline.start()
    await pipeline.conductor.approve(job.id)
    await pipeline.until(lambda: job.id in pipeline.conductor.status().waiting)
    reason = pipeline.conductor.status().waiting[job.id]
    assert reason.key == "gpu-too-small"
    assert "80 GB" in reason.sentence
    fresh = await pipeline.becomes(await pipeline.drop(stem="fresh", colour=7), State.DONE)
    assert (fresh.plan.memory, fresh.plan.width) == (16, 64), "a new one is made for what there is"
    assert (await pipeline.ledger.get(job.id)).state is State.QUEUED
    await pipeline.stop()
    monkeypatch.setattr(ComfyEngine, "stats", card(141.0))
    await pipeline.start()
    done = await pipeline.becomes(job, State.DONE)
    assert done.plan == job.plan
    assert not pipeline.conductor.status().waiting


async def failed(pipeline, cause, monkeypatch):
    """Have a job's first stage fail on a card of 80 GB."""
    job = await pipeline.drop()
    if cause == "oom":
        order(pipeline, "oom", times=0)
    elif cause == "internal":
        fetch = AsyncMock(side_effect=RuntimeError("surprise"))
        monkeypatch.setattr(pipeline.clients[0], "fetch", fetch)
    return await pipeline.becomes(job, State.FAILED)


@pytest.mark.parametrize("cause", ["oom", "internal"])
async def test_a_first_stage_that_failed_is_planned_anew_for_the_gpu_that_is_there(
    pipeline, monkeypatch, cause
):
    monkeypatch.setattr(ComfyEngine, "stats", card(79.2))
    pipeline.jobs_settings = msgspec.structs.replace(pipeline.jobs_settings, retries=0)
    await pipeline.start()
    job = await failed(pipeline, cause, monkeypatch)
    assert (job.plan.memory, job.plan.width) == (80, 128)
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    monkeypatch.setattr(ComfyEngine, "stats", card(15.6))
    await pipeline.start()
    done = await pipeline.becomes(await pipeline.conductor.retry(job.id), State.DONE)
    assert (done.plan.memory, done.plan.width) == (16, 64)
    assert [verdict.measured.width for verdict in done.stages[0].verdicts] == [64, 64]


async def test_a_job_whose_engine_is_gone_before_it_began_is_planned_for_another(
    pipeline, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", card(79.2))
    await pipeline.start()
    hold(pipeline)
    job = await pipeline.becomes(await pipeline.drop(), State.RUNNING)
    assert (job.plan.memory, job.plan.width) == (80, 128)
    await pipeline.ledger.change(job.id, with_engine("gone"))
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    monkeypatch.setattr(ComfyEngine, "stats", card(15.6))
    await pipeline.start()
    done = await pipeline.becomes(job, State.DONE)
    assert (done.plan.memory, done.plan.width) == (16, 64)
    assert [(a.engine, a.memory) for a in done.stages[0].attempts] == [("gone", 79.2), ("e0", 15.6)]


async def test_a_later_stage_waits_for_its_class_also_when_its_engine_is_gone(
    pipeline, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", card(79.2))
    await pipeline.start()
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    hold(pipeline)
    await pipeline.conductor.approve(job.id)
    job = await pipeline.becomes(job, State.RUNNING)
    await pipeline.ledger.change(job.id, with_engine("gone"))
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    monkeypatch.setattr(ComfyEngine, "stats", card(15.6))
    await pipeline.start()
    await pipeline.until(lambda: job.id in pipeline.conductor.status().waiting)
    reason = pipeline.conductor.status().waiting[job.id]
    assert reason.key == "gpu-too-small"
    assert reason.next_step
    await pipeline.stop()
    monkeypatch.setattr(ComfyEngine, "stats", card(79.2))
    await pipeline.start()
    done = await pipeline.becomes(job, State.DONE)
    assert done.plan == job.plan


def with_engine(name):
    """Give an open attempt to another engine, as if that one had been set when it was submitted."""

    def step(job: Job) -> Job:
        stage = job.stage
        last = msgspec.structs.replace(stage.attempts[-1], engine=name)
        changed = msgspec.structs.replace(stage, attempts=(*stage.attempts[:-1], last))
        stages = tuple(changed if each.name == stage.name else each for each in job.stages)
        return msgspec.structs.replace(job, stages=stages)

    return step


async def test_a_job_has_the_size_that_its_card_allows(tmp_path, monkeypatch):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    with (tmp_path / "recipes" / "tiny" / "recipe.toml").open("a") as file:
        file.write("\n[memory.24]\npixels = 16384\n")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    told = Stats(version="0.27.1", device="a card", vram_total=int(23.6 * 2**30))
    monkeypatch.setattr(ComfyEngine, "stats", AsyncMock(return_value=told))
    await pipeline.start()
    try:
        job = await pipeline.becomes(await pipeline.drop(), State.DONE)
        paper = receipt(pipeline, job)
        assert (paper["plan"]["width"], paper["plan"]["height"]) == (128, 128)
        assert paper["stages"][0]["verdicts"][0]["measured"]["width"] == 128
        assert {a["memory"] for stage in paper["stages"] for a in stage["attempts"]} == {23.6}
    finally:
        await pipeline.close()
