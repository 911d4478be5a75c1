"""Whole jobs through a simulated engine that misbehaves on order."""

import asyncio
import hashlib
import json
import shutil

import pytest

from tests.fakes.pipeline import RECIPES, Pipeline, ask, hold, order, receipt, recipe_with
from zoetrope.domain.job import Progress, State
from zoetrope.engine.simulated import Fault
from zoetrope.errors import IllegalTransition
from zoetrope.graphs.catalog import PINNED
from zoetrope.jobs.settlement import Settlement


async def test_a_picture_becomes_one_video_with_a_receipt(pipeline):
    job = await pipeline.becomes(await pipeline.drop(seed=5), State.DONE)
    assert pipeline.videos() == [f"cat-{job.short}/cat.mp4"]
    told = receipt(pipeline, job)
    handed = [stage["source"] for stage in told["stages"]]
    assert handed == [None, {"file": "i2v-1-whole.mkv", "codec": "ffv1", "lossless": True}]
    assert not list((pipeline.root / "outbox").rglob("*.mkv")), "it is for the next stage alone"
    assert told["recipe"] == "tiny"
    assert [stage["name"] for stage in told["stages"]] == ["i2v", "upscale"]
    attempt = told["stages"][0]["attempts"][0]
    assert attempt["version"] == PINNED
    assert len(attempt["graph"]) == 64
    await pipeline.until(lambda: not (pipeline.settings.work / job.id).exists())


async def test_no_name_that_a_person_gave_reaches_the_engine(pipeline):
    job = await pipeline.drop(stem="a stem of their own")
    attempt = (await pipeline.becomes(job, State.DONE)).stages[0].attempts[0]
    history = await ask(pipeline, f"/history/{attempt.prompt_id}")
    graph = history[attempt.prompt_id]["prompt"][2]
    assert graph["image"]["inputs"]["image"] == f"zoetrope/{job.images[0].sha256[:24]}.png"
    # Job and attempt are in the name, so that no file is ever named twice.
    assert graph["save"]["inputs"]["filename_prefix"] == f"zoetrope/{job.short}-i2v-1"


@pytest.mark.parametrize("embed", [False, True])
async def test_the_prompt_leaves_with_the_video_only_if_the_operator_says_so(tmp_path, embed):
    pipeline = Pipeline(tmp_path)
    pipeline.embed_graph = embed
    await pipeline.start()
    job = await pipeline.becomes(await pipeline.drop(prompt="a secret wish"), State.DONE)
    folder = pipeline.root / "outbox" / job.outbox
    for video in (folder / "cat.mp4", folder / "stages" / "i2v.mp4"):
        assert (b"a secret wish" in video.read_bytes()) is (embed and video.name == "i2v.mp4")
    for stage in job.stages:
        (artefact,) = stage.artefacts
        name = "cat.mp4" if stage is job.stages[-1] else "stages/i2v.mp4"
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == artefact.sha256
        assert stage.verdicts[0].measured.frames == 5
    await pipeline.close()


async def test_a_review_waits_for_a_person(pipeline):
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    shown = pipeline.root / "outbox" / "review" / f"cat-{job.short}"
    files = {"source.png", "i2v.mp4", "poster.jpg", "READ ME.txt"}
    assert {p.name for p in shown.iterdir()} == files
    await pipeline.conductor.approve(job.id)
    assert not shown.exists()
    await pipeline.becomes(job, State.DONE)


async def test_out_of_memory_climbs_the_ladder_and_is_remembered(pipeline):
    order(pipeline, "oom", node="KSamplerAdvanced", times=2)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    stage = job.stages[0]
    assert [a.failure.kind if a.failure else None for a in stage.attempts] == ["oom", "oom", None]
    assert stage.fallbacks == ("free", "tiled-decode")
    assert receipt(pipeline, job)["stages"][0]["rungs"] == ["free", "tiled-decode"]
    again = await pipeline.becomes(await pipeline.drop(stem="dog"), State.DONE)
    assert again.stages[0].attempts[0].fallbacks == ("tiled-decode",)


async def test_a_finished_stage_survives_a_later_failure(pipeline):
    order(pipeline, "oom", node="ImageScale", times=0)
    job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    assert job.stages[0].state is Progress.DONE
    assert (pipeline.settings.work / job.id / job.stages[0].artefacts[0].file).exists()
    assert "smaller size" in job.reason.next_step
    assert [explained.id for explained in pipeline.explained] == [job.id]
    pipeline.engines[0].faults.clear()
    await pipeline.conductor.retry(job.id)
    job = await pipeline.becomes(job, State.DONE)
    assert len(job.stages[0].attempts) == 1


async def test_a_graph_that_the_engine_refuses_rejects_the_job(tmp_path):
    recipe_with(tmp_path, "ks_low", "sampler_name", "eulr")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    job = await pipeline.becomes(await pipeline.drop(), State.REJECTED)
    assert "eulr" in job.reason.sentence
    assert [explained.id for explained in pipeline.explained] == [job.id]
    await pipeline.close()


async def test_a_graph_of_which_only_half_is_sound_never_runs(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    file = tmp_path / "recipes" / "tiny" / "i2v.json"
    graph = json.loads(file.read_text())
    graph["extra"] = {"class_type": "SaveImage", "inputs": {"images": ["decode", 0]}}
    file.write_text(json.dumps(graph))
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    await pipeline.becomes(await pipeline.drop(), State.REJECTED)
    queue = await ask(pipeline, "/queue")
    assert queue["queue_pending"] == []
    await pipeline.close()


async def test_the_next_prompt_waits_at_the_engine_while_one_runs(pipeline):
    hold(pipeline)
    jobs = [await pipeline.drop(stem=f"cat{n}") for n in range(5)]
    await pipeline.becomes(jobs[0], State.RUNNING)
    async with asyncio.timeout(45):
        while not all((queue := await ask(pipeline, "/queue")).values()):
            await asyncio.sleep(0.01)
    assert (len(queue["queue_running"]), len(queue["queue_pending"])) == (1, 1)
    pipeline.engines[0].faults.clear()
    for job in jobs:
        await pipeline.becomes(job, State.DONE)


async def test_two_engines_share_the_work(tmp_path):
    pipeline = Pipeline(tmp_path, engines=2)
    await pipeline.start()
    for engine in pipeline.engines:
        engine.faults.order(Fault("slow", seconds=0.02, times=0))
    await pipeline.until(lambda: all(worker.up for worker in pipeline.conductor.status().workers))
    jobs = [await pipeline.drop(stem=f"cat{n}") for n in range(6)]
    done = [await pipeline.becomes(job, State.DONE) for job in jobs]
    used = {attempt.engine for job in done for s in job.stages for attempt in s.attempts}
    assert used == {"e0", "e1"}
    assert len(pipeline.videos()) == 6
    await pipeline.close()


async def test_a_fault_of_our_own_fails_one_job_and_not_the_service(pipeline, monkeypatch):
    async def fetch(output, to, most):
        raise RuntimeError("surprise")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.clients[0], "fetch", fetch)
        job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    assert job.reason.key == "internal"
    await pipeline.becomes(await pipeline.drop(stem="dog"), State.DONE)


async def test_trouble_while_dealing_with_trouble_loses_no_job(pipeline, monkeypatch):
    whole = pipeline.clients[0].fetch
    failures = iter([RuntimeError("surprise")])

    async def fetch(output, to, most):
        for failure in failures:
            raise failure
        return await whole(output, to, most)

    settle = Settlement.settle
    others = iter([RuntimeError("and another")])

    async def settled(self, at, job_id, ended):
        if isinstance(ended, RuntimeError):
            for failure in others:
                raise failure
        return await settle(self, at, job_id, ended)

    monkeypatch.setattr(pipeline.clients[0], "fetch", fetch)
    monkeypatch.setattr(Settlement, "settle", settled)
    await pipeline.becomes(await pipeline.drop(), State.DONE)


async def test_orders_that_make_no_sense_are_refused(pipeline):
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    for verb in (pipeline.conductor.approve, pipeline.conductor.cancel, pipeline.conductor.retry):
        with pytest.raises(IllegalTransition):
            await verb(job.id)
