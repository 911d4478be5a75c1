"""Engines that die, hang, forget, refuse or lack something, under whole jobs."""

import asyncio
import contextlib
from unittest.mock import AsyncMock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.fakes.pipeline import Pipeline, Restartable, order, recipe_with
from tests.fakes.service import free_port
from zoetrope.domain.job import State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Stats
from zoetrope.errors import EngineDown, EngineRefused
from zoetrope.graphs.graph import Node
from zoetrope.jobs import worker
from zoetrope.settings import EngineSettings, JobsSettings

BROKEN = "engine-broken"
RIFE = {"rife": Node("RIFE VFI", {"ckpt_name": "rife49.pth"})}


def shown(pipeline: Pipeline) -> worker.WorkerStatus:
    return pipeline.conductor.status().workers[0]


async def test_a_lost_cuda_context_restarts_the_engine(pipeline):
    order(pipeline, "cuda", node="KSamplerAdvanced")
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert pipeline.clients[0].restarts == 1
    assert job.stages[0].fallbacks == ("restart",)


async def test_while_a_restart_cannot_be_had_jobs_wait_and_none_fails(pipeline, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.engine_watch.HEAL_SECONDS", 0.05)
    client, real, tries = pipeline.clients[0], pipeline.clients[0].restart, []

    async def refused():
        tries.append(len(tries))
        if len(tries) < 4:
            raise EngineDown("polkit says no.", "Check the rule.", key="restart-failed")
        await real()

    monkeypatch.setattr(client, "restart", refused)
    order(pipeline, "cuda", node="KSamplerAdvanced")
    first, second = await pipeline.drop(), await pipeline.drop(stem="dog", colour=7)
    await pipeline.until(lambda: len(tries) >= 2)
    (shown,) = pipeline.conductor.status().workers
    assert (shown.up, shown.reason.key) == (False, "restart-failed")
    for job in (first, second):
        done = await pipeline.becomes(job, State.DONE, State.FAILED)
        assert done.state is State.DONE
    assert len(tries) == 4
    assert client.restarts == 1


async def test_a_lost_cuda_context_that_nobody_may_restart_costs_no_picture(pipeline):
    pipeline.clients[0].may_restart = False
    order(pipeline, "cuda", node="KSamplerAdvanced")
    jobs = [await pipeline.drop(stem=f"cat{n}", colour=n) for n in range(6)]

    def broken():
        return not shown(pipeline).up and shown(pipeline).reason.key == BROKEN

    await pipeline.until(broken)
    assert "Restart the engine" in shown(pipeline).reason.next_step
    assert "engines.restart" in shown(pipeline).reason.next_step
    # A connection that is cut is no other process; only that is worth another try.
    before = pipeline.clients[0].reconnects
    async with aiohttp.ClientSession() as http:
        await http.post(
            f"{pipeline.engines[0].url}/simulated/faults", json={"kind": "drop", "step": 0}
        )
    await pipeline.until(lambda: pipeline.clients[0].reconnects > before)
    await asyncio.sleep(0.5)
    assert broken()
    states = {(await pipeline.ledger.get(job.id)).state for job in jobs}
    assert states == {State.QUEUED}, "all of them wait"
    await pipeline.engines[0].restart()
    done = [await pipeline.becomes(job, State.DONE, State.FAILED) for job in jobs]
    assert [job.state for job in done] == [State.DONE] * 6
    failures = [a.failure.kind for j in done for s in j.stages for a in s.attempts if a.failure]
    # The service had not seen this process do anything: another job may have broken it before.
    assert set(failures) == {"bystander"}
    assert pipeline.clients[0].restarts == 0


async def restarted(pipeline: Pipeline) -> None:
    """Restart the engine as a person does: for a moment nobody listens there."""
    engine = pipeline.engines[0]
    port = int(engine.url.rpartition(":")[2])
    await engine.stop()
    await pipeline.until(
        lambda: shown(pipeline).reason and shown(pipeline).reason.key == "engine-down"
    )
    await engine.start(port=port)


async def test_a_job_that_breaks_every_process_is_given_up_and_the_next_one_gets_a_new_one(
    pipeline,
):
    pipeline.clients[0].may_restart = False
    await pipeline.becomes(await pipeline.drop(stem="cat", colour=9), State.DONE)
    order(pipeline, "cuda", node="KSamplerAdvanced", times=4)
    bad = await pipeline.drop()
    for _ in range(4):
        await pipeline.until(
            lambda: shown(pipeline).reason and shown(pipeline).reason.key == BROKEN
        )
        await restarted(pipeline)
        await pipeline.until(lambda: shown(pipeline).up)
    bad = await pipeline.becomes(bad, State.FAILED)
    assert bad.reason.key == "cuda"
    await pipeline.becomes(await pipeline.drop(stem="dog"), State.DONE)


async def test_however_often_the_service_is_restarted_a_broken_process_fails_no_job(
    pipeline, monkeypatch
):
    """A lost context whose status answers all the same; and its history is cleared by somebody."""
    told = Stats(version="0.27.1", device="a card", vram_total=16 * 2**30)
    monkeypatch.setattr(Restartable, "may_restart", False)
    monkeypatch.setattr(ComfyEngine, "stats", AsyncMock(return_value=told))
    order(pipeline, "cuda", node="KSamplerAdvanced")
    job = await pipeline.drop()
    for _ in range(5):
        await pipeline.until(
            lambda: shown(pipeline).reason and shown(pipeline).reason.key == BROKEN
        )
        async with aiohttp.ClientSession() as http:
            url = pipeline.engines[0].url
            await http.post(f"{url}/history", json={"clear": True})
        await pipeline.stop()
        await pipeline.start()
    await pipeline.until(lambda: shown(pipeline).reason and shown(pipeline).reason.key == BROKEN)
    assert (await pipeline.ledger.get(job.id)).state is State.QUEUED
    monkeypatch.undo()
    await pipeline.engines[0].restart()
    await pipeline.becomes(job, State.DONE)


async def test_a_new_process_is_known_without_a_socket(pipeline, monkeypatch):
    """Behind a proxy that passes none, the number of connections never changes."""
    pipeline.clients[0].may_restart = False
    monkeypatch.setattr(Restartable, "reconnects", 0)
    order(pipeline, "cuda", node="KSamplerAdvanced")
    job = await pipeline.drop()
    await pipeline.until(lambda: shown(pipeline).reason and shown(pipeline).reason.key == BROKEN)
    await restarted(pipeline)
    await pipeline.becomes(job, State.DONE)


async def test_an_engine_that_fails_to_give_a_file_is_asked_again_with_pauses(
    pipeline, monkeypatch
):
    monkeypatch.setattr("zoetrope.jobs.settlement.HOST_SECONDS", 3600.0)
    asked, whole = [], pipeline.clients[0].fetch

    async def fetch(output, to, most):
        asked.append(output.filename)
        return await whole(output, to, most)

    monkeypatch.setattr(pipeline.clients[0], "fetch", fetch)
    order(pipeline, "view")
    job = await pipeline.waits(await pipeline.drop(), "not-given")
    assert job.state is State.RUNNING
    assert "500" in job.reason.sentence
    assert shown(pipeline).up, "it answers all other questions"
    assert pipeline.conductor.status().waiting[job.id] == job.reason
    assert len(asked) == 1


async def test_a_file_that_the_plan_cannot_have_made_fails_the_job_in_words(pipeline, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.stage_results.most_bytes", lambda _: 100)
    job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    assert [a.failure.kind for a in job.stages[0].attempts] == ["doubtful", "doubtful"]
    assert "planned size" in job.reason.sentence
    assert not list(pipeline.settings.work.rglob("*.part"))


async def test_an_engine_that_gives_a_file_at_last_made_it_once(pipeline, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.settlement.HOST_SECONDS", 0.02)
    order(pipeline, "view", times=4)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]
    assert job.reason is None
    assert not pipeline.conductor.status().waiting


async def test_an_engine_that_dies_is_waited_for(pipeline):
    order(pipeline, "slow", seconds=0.1, times=4)
    order(pipeline, "exit", node="KSamplerAdvanced", step=2)
    jobs = [await pipeline.drop(), await pipeline.drop(stem="dog")]
    done = [await pipeline.becomes(job, State.DONE) for job in jobs]
    failures = [
        [a.failure.kind for s in job.stages for a in s.attempts if a.failure] for job in done
    ]
    # The other prompt had only waited there: losing it is no failure of its own.
    assert sorted(failures) == [[], ["crash"]]
    assert len(pipeline.videos()) == 2


async def test_an_engine_that_is_down_at_first_is_no_ones_failure(tmp_path):
    pipeline = Pipeline(tmp_path)
    url = await pipeline.engines[0].start(port=free_port())
    await pipeline.engines[0].stop()
    await pipeline.start()
    job = await pipeline.drop()
    await pipeline.until(lambda: pipeline.conductor.status().workers[0].reason.key == "engine-down")
    assert (await pipeline.ledger.get(job.id)).state is State.QUEUED
    await pipeline.engines[0].start(port=int(url.rpartition(":")[2]))
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]
    await pipeline.close()


async def test_a_silent_socket_is_replaced_by_asking(pipeline):
    order(pipeline, "silent", times=0)
    await pipeline.becomes(await pipeline.drop(), State.DONE)


async def test_a_dropped_socket_is_opened_again(pipeline):
    order(pipeline, "drop", node="KSamplerAdvanced", times=3)
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_wedged_sampler_is_found_by_its_silence(tmp_path):
    pipeline = Pipeline(tmp_path)
    pipeline.jobs_settings = JobsSettings(patience_seconds=1)
    await pipeline.start()
    order(pipeline, "wedged", node="KSamplerAdvanced")
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert job.stages[0].attempts[0].failure.kind == "wedged"
    assert pipeline.clients[0].restarts == 1
    await pipeline.close()


async def test_an_output_that_vanished_is_made_again(pipeline):
    order(pipeline, "vanish")
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert [a.failure.kind for a in job.stages[0].attempts[:-1]] == ["vanished"]


async def test_a_passing_fault_of_the_server_is_asked_again_and_costs_no_attempt(pipeline):
    order(pipeline, "refuse")
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert [len(stage.attempts) for stage in job.stages] == [1, 1]


async def test_a_missing_model_file_is_waited_for(tmp_path):
    recipe_with(tmp_path, "unet_low", "unet_name", "wan2.2_i2v_low_noise_absent.safetensors")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    job = await pipeline.drop()

    async def held():
        return (await pipeline.ledger.get(job.id)).reason is not None

    async with asyncio.timeout(45):
        while not await held():
            await pipeline.changed.wait()
            pipeline.changed.clear()
    job = await pipeline.ledger.get(job.id)
    assert (job.state, job.reason.key) == (State.QUEUED, "model-missing")
    assert job.stage.attempts == ()
    assert job.stage.not_before > 0
    await pipeline.close()


@contextlib.asynccontextmanager
async def engine_that_lists(**listings):
    """Speak to an engine that takes any prompt, and lists what is in some folders of models."""
    took = []

    async def listing(request):
        if (files := listings.get(request.match_info["folder"])) is None:
            raise web.HTTPNotFound
        return web.json_response(files)

    async def take(request):
        took.append(await request.json())
        return web.json_response({"prompt_id": took[-1]["prompt_id"], "node_errors": {}})

    app = web.Application()
    app.add_routes([web.get("/models/{folder}", listing), web.post("/prompt", take)])
    async with TestServer(app) as server:
        client = ComfyEngine(EngineSettings(name="e", url=str(server.make_url(""))), "test")
        await client.start()
        try:
            yield client, took
        finally:
            await client.close()


async def test_a_file_that_no_validation_covers_is_looked_for_first():
    """A listing that the engine does not have says nothing about its files."""
    files = ["ComfyUI-Frame-Interpolation/ckpts/rife/rife47.pth"]
    async with engine_that_lists(custom_nodes=files) as (client, took):
        with pytest.raises(EngineRefused, match=r"rife49\.pth") as caught:
            await client.submit(RIFE, "id", tags={})
    assert caught.value.reason.key == "model-missing"
    assert took == []


@pytest.mark.parametrize("place", ["rife", "custom_nodes"])
async def test_a_file_that_one_of_the_listings_has_is_there(place):
    """RIFE's files lie beside its code, or among the models where its code cannot be written."""
    listings = {"rife": ["other.pth"], "custom_nodes": ["other.pth"], place: ["ckpts/rife49.pth"]}
    async with engine_that_lists(**listings) as (client, took):
        await client.submit(RIFE, "id", tags={})
    assert [each["prompt_id"] for each in took] == ["id"]
