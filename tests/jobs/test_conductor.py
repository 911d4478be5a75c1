"""Whole jobs through a simulated engine that misbehaves on order."""

import asyncio
import errno
import hashlib
import json
import shutil
from unittest.mock import AsyncMock

import aiohttp
import msgspec
import pytest

from tests.fakes.pipeline import RECIPES, Pipeline, order, recipe_with
from zoetrope.beneath import Beneath
from zoetrope.dispatch.queue import Queue
from zoetrope.domain.job import Progress, State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Stats
from zoetrope.engine.simulated import Fault
from zoetrope.errors import IllegalTransition
from zoetrope.jobs import stage_results, work_note
from zoetrope.jobs.settlement import Settlement
from zoetrope.jobs.worker import EngineWorker


async def ask(pipeline: Pipeline, path: str):
    async with aiohttp.ClientSession() as http, http.get(pipeline.engines[0].url + path) as answer:
        return await answer.json()


def receipt(pipeline: Pipeline, job) -> dict:
    return json.loads((pipeline.root / "outbox" / job.outbox / "receipt.json").read_text())


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
    assert attempt["version"] == "0.27.1"
    assert len(attempt["graph"]) == 64
    await pipeline.until(lambda: not (pipeline.settings.work / job.id).exists())


async def test_a_receipt_names_the_attention_kernel_that_was_reported(tmp_path):
    (tmp_path / "e0.json").write_text('{"schema": 1, "chosen": "sageattn"}')
    pipeline = Pipeline(tmp_path)
    await pipeline.start()
    try:
        job = await pipeline.becomes(await pipeline.drop(), State.DONE)
        kernels = {
            attempt["attention"]
            for stage in receipt(pipeline, job)["stages"]
            for attempt in stage["attempts"]
        }
        assert kernels == {"sageattn"}
    finally:
        await pipeline.close()


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


async def test_a_declined_review_ends_the_job_and_can_be_taken_back(pipeline):
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    job = await pipeline.conductor.decline(job.id, "the eyes wander")
    assert (job.state, job.reason.key) == (State.CANCELLED, "declined")
    # Should the ledger be lost, the work knows that nobody wants it.
    with Beneath(pipeline.settings.work) as work:
        assert work_note.read(work, job.id).state is State.CANCELLED
        assert (await pipeline.conductor.retry(job.id)).state is State.REVIEW
        assert work_note.read(work, job.id).state is State.REVIEW
    await pipeline.conductor.approve(job.id)
    await pipeline.becomes(job, State.DONE)


async def test_a_job_whose_video_another_one_has_made_is_not_retried(pipeline):
    """Its picture was moved back from `rejected` meanwhile; both would make the same video."""
    job = await pipeline.drop(review=True, fingerprint="same")
    job = await pipeline.becomes(job, State.REVIEW)
    await pipeline.conductor.decline(job.id)
    other = await pipeline.becomes(await pipeline.drop(fingerprint="same"), State.DONE)
    with pytest.raises(IllegalTransition, match=f"job {other.short}") as raised:
        await pipeline.conductor.retry(job.id)
    assert f"zoetrope again {job.short}" in raised.value.reason.next_step
    assert (await pipeline.ledger.get(job.id)).state is State.CANCELLED
    shutil.rmtree(pipeline.root / "outbox" / other.outbox)
    assert (await pipeline.conductor.retry(job.id)).state is State.REVIEW, "that video is gone"


async def test_another_video_that_a_user_asked_for_is_no_duplicate(pipeline):
    """Neither is it the one, nor does it have the other, that `again` made of the same picture and ticket."""
    first = await pipeline.becomes(
        await pipeline.drop(review=True, fingerprint="same"), State.REVIEW
    )
    more = await pipeline.drop(review=True, fingerprint="same", parent=first.id)
    more = await pipeline.becomes(more, State.REVIEW)
    for job in (more, first):
        await pipeline.conductor.decline(job.id)
        assert (await pipeline.conductor.retry(job.id)).state is State.REVIEW


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


async def test_cancelling_stops_the_engine_and_nobody_else(pipeline):
    order(pipeline, "slow", seconds=0.2, times=0)
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
    order(pipeline, "slow", seconds=0.5, times=0)
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


async def test_the_next_prompt_waits_at_the_engine_while_one_runs(pipeline):
    order(pipeline, "slow", seconds=0.1, times=0)
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


async def test_a_job_stays_with_its_worker_however_long_the_upload_takes(tmp_path, monkeypatch):
    monkeypatch.setattr("zoetrope.dispatch.queue.LEASE_SECONDS", 2.0)
    monkeypatch.setattr("zoetrope.jobs.worker.EXTEND_SECONDS", 0.02)
    pipeline = Pipeline(tmp_path, engines=2)
    await pipeline.start()
    await pipeline.until(lambda: all(worker.up for worker in pipeline.conductor.status().workers))
    uploads, arrive = [], asyncio.Event()
    for client in pipeline.clients:

        async def upload(file, name, client=client, whole=client.upload):
            uploads.append(client.name)
            await arrive.wait()
            return await whole(file, name)

        monkeypatch.setattr(client, "upload", upload)
    job = await pipeline.drop()
    await pipeline.until(lambda: uploads)
    # Longer than a lease, with another worker that is idle and looks each time that a job is written.
    for number in range(3):
        await asyncio.sleep(0.8)
        await pipeline.drop(stem=f"other{number}", colour=number)
    first = uploads[0]
    arrive.set()
    done = await pipeline.becomes(job, State.DONE)
    assert done.stages[0].attempts[0].engine == first
    assert [len(stage.attempts) for stage in done.stages] == [1, 1]
    assert (await pipeline.becomes(await pipeline.drop(stem="last"), State.DONE)).outbox
    await pipeline.close()


async def test_a_service_that_stops_leaves_the_prompt_running_and_finds_it_again(pipeline):
    order(pipeline, "slow", seconds=0.15, times=0)
    job = await pipeline.drop()
    running = await pipeline.becomes(job, State.RUNNING)
    await pipeline.stop()
    await pipeline.start()
    job = await pipeline.becomes(job, State.DONE)
    assert job.stages[0].attempts[0].prompt_id == running.attempt.prompt_id
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_prompt_that_ended_while_nobody_looked_is_brought_home(pipeline):
    order(pipeline, "slow", seconds=0.05, times=0)
    job = await pipeline.drop()
    running = await pipeline.becomes(job, State.RUNNING)
    await pipeline.stop()
    async with asyncio.timeout(45):
        while not await ask(pipeline, f"/history/{running.attempt.prompt_id}"):
            await asyncio.sleep(0.01)
    await pipeline.start()
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_prompt_lost_with_its_engine_while_nobody_looked_is_tried_again(pipeline):
    order(pipeline, "slow", seconds=0.3, times=0)
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
    order(pipeline, "slow", seconds=0.3, times=0)
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


async def test_a_full_disk_pauses_the_queue_and_fails_nobody(pipeline, monkeypatch):
    whole = pipeline.clients[0].fetch
    full = True

    async def fetch(output, to, most):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await whole(output, to, most)

    monkeypatch.setattr(pipeline.clients[0], "fetch", fetch)
    monkeypatch.setattr("zoetrope.jobs.room.DISK_SECONDS", 0.05)
    job = await pipeline.drop()
    await pipeline.until(lambda: pipeline.conductor.status().paused)
    assert pipeline.conductor.status().paused.key == "disk-full"
    full = False
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_fault_of_our_own_fails_one_job_and_not_the_service(pipeline, monkeypatch):
    async def fetch(output, to, most):
        raise RuntimeError("surprise")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.clients[0], "fetch", fetch)
        job = await pipeline.becomes(await pipeline.drop(), State.FAILED)
    assert job.reason.key == "internal"
    await pipeline.becomes(await pipeline.drop(stem="dog"), State.DONE)


async def test_a_recipe_that_breaks_while_its_stage_runs_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.settlement.HOST_SECONDS", 0.05)
    recipe_with(tmp_path, "neg", "text", "")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    order(pipeline, "slow", seconds=0.1, times=0)
    job = await pipeline.drop()
    running = await pipeline.becomes(job, State.RUNNING)
    file = tmp_path / "recipes" / "tiny" / "recipe.toml"
    sound = file.read_text()
    file.write_text("title = 3")
    async with asyncio.timeout(45):
        while not await ask(pipeline, f"/history/{running.attempt.prompt_id}"):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert (await pipeline.ledger.get(job.id)).state is State.RUNNING
    file.write_text(sound)
    job = await pipeline.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]
    await pipeline.close()


async def test_a_recipe_that_is_broken_beforehand_holds_its_jobs(tmp_path):
    recipe_with(tmp_path, "neg", "text", "")
    (tmp_path / "recipes" / "tiny" / "recipe.toml").write_text("title = 3")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    job = await pipeline.drop()
    async with asyncio.timeout(45):
        while (job := await pipeline.ledger.get(job.id)).reason is None:
            await asyncio.sleep(0.01)
    assert (job.state, job.reason.key) == (State.QUEUED, "recipe")
    await pipeline.close()


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


async def test_progress_is_told_while_a_stage_runs(pipeline):
    order(pipeline, "slow", seconds=0.1, times=0)
    job = await pipeline.drop()
    await pipeline.until(lambda: (live := pipeline.conductor.live(job.id)) and live.maximum == 2)
    live = pipeline.conductor.live(job.id)
    assert live.stage == "i2v"
    assert 0 <= live.fraction < 1
    assert live.node == "KSamplerAdvanced"
    pipeline.engines[0].faults.clear()
    await pipeline.becomes(job, State.DONE)
    await pipeline.until(lambda: pipeline.conductor.live(job.id) is None)


async def test_orders_that_make_no_sense_are_refused(pipeline):
    job = await pipeline.becomes(await pipeline.drop(), State.DONE)
    for verb in (pipeline.conductor.approve, pipeline.conductor.cancel, pipeline.conductor.retry):
        with pytest.raises(IllegalTransition):
            await verb(job.id)


async def test_a_running_stage_says_how_long_it_may_be_silent(pipeline, monkeypatch):
    while_checked = []

    async def check(*args, **more):
        while_checked.append(pipeline.conductor.live(job.id).silence)
        return await real(*args, **more)

    real = stage_results.check
    monkeypatch.setattr(stage_results, "check", check)
    order(pipeline, "slow", seconds=0.2, times=0)
    job = await pipeline.drop()

    def limited():
        live = pipeline.conductor.live(job.id)
        return live is not None and live.silence >= pipeline.jobs_settings.patience_seconds

    await pipeline.until(limited)
    assert pipeline.conductor.live(job.id).moved > 0
    pipeline.engines[0].faults.clear()
    await pipeline.becomes(job, State.DONE)
    assert set(while_checked) == {0.0}, "checking its video may take as long as it likes"


async def test_a_job_that_was_returned_is_kept_by_no_worker(pipeline, monkeypatch):
    """In the moment between the return and the end of its task; nobody could take it for a minute."""
    returned, late, over = set(), [], asyncio.Event()
    give_back = Queue.give_back

    def returning(queue, lease):
        returned.add(lease)
        give_back(queue, lease)
        asyncio.get_running_loop().call_soon(extend)

    def extend():
        workers[0].extend_leases()
        if len(returned) == 2:  # its stages
            over.set()

    workers, status = [], EngineWorker.status
    with monkeypatch.context() as patch:
        patch.setattr(EngineWorker, "status", lambda each: workers.append(each) or status(each))
        pipeline.conductor.status()
    monkeypatch.setattr(Queue, "give_back", returning)
    monkeypatch.setattr(
        Queue, "extend", lambda _, lease: late.append(lease) if lease in returned else None
    )
    await pipeline.becomes(await pipeline.drop(), State.DONE)
    async with asyncio.timeout(45):
        await over.wait()
    assert not late
