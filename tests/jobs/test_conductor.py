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

from tests.fakes.street import RECIPES, Street, order, recipe_with
from zoetrope.domain.job import Progress, State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Stats
from zoetrope.engine.simulated import Fault
from zoetrope.errors import IllegalTransition
from zoetrope.jobs import stage_results
from zoetrope.jobs.settlement import Settlement


async def ask(street: Street, path: str):
    async with aiohttp.ClientSession() as http, http.get(street.engines[0].url + path) as answer:
        return await answer.json()


def receipt(street: Street, job) -> dict:
    return json.loads((street.root / "outbox" / job.outbox / "receipt.json").read_text())


async def test_a_picture_becomes_one_video_with_a_receipt(street):
    job = await street.becomes(await street.drop(seed=5), State.DONE)
    assert street.videos() == [f"cat-{job.short}/cat.mp4"]
    told = receipt(street, job)
    handed = [stage["source"] for stage in told["stages"]]
    assert handed == [None, {"file": "i2v-1-whole.mkv", "codec": "ffv1", "lossless": True}]
    assert not list((street.root / "outbox").rglob("*.mkv")), "it is for the next stage alone"
    assert told["recipe"] == "tiny"
    assert [stage["name"] for stage in told["stages"]] == ["i2v", "upscale"]
    attempt = told["stages"][0]["attempts"][0]
    assert attempt["version"] == "0.27.1"
    assert len(attempt["graph"]) == 64
    await street.until(lambda: not (street.settings.work / job.id).exists())


async def test_a_receipt_names_the_attention_kernel_that_was_reported(tmp_path):
    (tmp_path / "e0.json").write_text('{"schema": 1, "chosen": "sageattn"}')
    street = Street(tmp_path)
    await street.start()
    try:
        job = await street.becomes(await street.drop(), State.DONE)
        kernels = {
            attempt["attention"]
            for stage in receipt(street, job)["stages"]
            for attempt in stage["attempts"]
        }
        assert kernels == {"sageattn"}
    finally:
        await street.close()


async def test_a_job_has_the_size_that_its_card_allows(tmp_path, monkeypatch):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    with (tmp_path / "recipes" / "tiny" / "recipe.toml").open("a") as file:
        file.write("\n[memory.24]\npixels = 16384\n")
    street = Street(tmp_path, recipes=tmp_path / "recipes")
    told = Stats(version="0.27.1", device="a card", vram_total=int(23.6 * 2**30))
    monkeypatch.setattr(ComfyEngine, "stats", AsyncMock(return_value=told))
    await street.start()
    try:
        job = await street.becomes(await street.drop(), State.DONE)
        paper = receipt(street, job)
        assert (paper["plan"]["width"], paper["plan"]["height"]) == (128, 128)
        assert paper["stages"][0]["verdicts"][0]["measured"]["width"] == 128
        assert {a["memory"] for stage in paper["stages"] for a in stage["attempts"]} == {23.6}
    finally:
        await street.close()


async def test_no_name_that_a_person_gave_reaches_the_engine(street):
    job = await street.drop(stem="a stem of their own")
    attempt = (await street.becomes(job, State.DONE)).stages[0].attempts[0]
    history = await ask(street, f"/history/{attempt.prompt_id}")
    graph = history[attempt.prompt_id]["prompt"][2]
    assert graph["image"]["inputs"]["image"] == f"zoetrope/{job.images[0].sha256[:24]}.png"
    # Job and attempt are in the name, so that no file is ever named twice.
    assert graph["save"]["inputs"]["filename_prefix"] == f"zoetrope/{job.short}-i2v-1"


@pytest.mark.parametrize("embed", [False, True])
async def test_the_prompt_leaves_with_the_video_only_if_the_operator_says_so(tmp_path, embed):
    street = Street(tmp_path)
    street.embed_graph = embed
    await street.start()
    job = await street.becomes(await street.drop(prompt="a secret wish"), State.DONE)
    folder = street.root / "outbox" / job.outbox
    for video in (folder / "cat.mp4", folder / "stages" / "i2v.mp4"):
        assert (b"a secret wish" in video.read_bytes()) is (embed and video.name == "i2v.mp4")
    for stage in job.stages:
        (artefact,) = stage.artefacts
        name = "cat.mp4" if stage is job.stages[-1] else "stages/i2v.mp4"
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == artefact.sha256
        assert stage.verdicts[0].measured.frames == 5
    await street.close()


async def test_a_review_waits_for_a_person(street):
    job = await street.becomes(await street.drop(review=True), State.REVIEW)
    shown = street.root / "outbox" / "review" / f"cat-{job.short}"
    files = {"source.png", "i2v.mp4", "poster.jpg", "READ ME.txt"}
    assert {p.name for p in shown.iterdir()} == files
    await street.conductor.approve(job.id)
    assert not shown.exists()
    await street.becomes(job, State.DONE)


async def test_a_declined_review_ends_the_job_and_can_be_taken_back(street):
    job = await street.becomes(await street.drop(review=True), State.REVIEW)
    job = await street.conductor.decline(job.id, "the eyes wander")
    assert (job.state, job.reason.key) == (State.CANCELLED, "declined")
    assert (await street.conductor.retry(job.id)).state is State.REVIEW
    await street.conductor.approve(job.id)
    await street.becomes(job, State.DONE)


async def test_out_of_memory_climbs_the_ladder_and_is_remembered(street):
    order(street, "oom", node="KSamplerAdvanced", times=2)
    job = await street.becomes(await street.drop(), State.DONE)
    stage = job.stages[0]
    assert [a.failure.kind if a.failure else None for a in stage.attempts] == ["oom", "oom", None]
    assert stage.fallbacks == ("free", "tiled-decode")
    assert receipt(street, job)["stages"][0]["rungs"] == ["free", "tiled-decode"]
    again = await street.becomes(await street.drop(stem="dog"), State.DONE)
    assert again.stages[0].attempts[0].fallbacks == ("tiled-decode",)


async def test_a_finished_stage_survives_a_later_failure(street):
    order(street, "oom", node="ImageScale", times=0)
    job = await street.becomes(await street.drop(), State.FAILED)
    assert job.stages[0].state is Progress.DONE
    assert (street.settings.work / job.id / job.stages[0].artefacts[0].file).exists()
    assert "smaller size" in job.reason.next_step
    assert [explained.id for explained in street.explained] == [job.id]
    street.engines[0].faults.clear()
    await street.conductor.retry(job.id)
    job = await street.becomes(job, State.DONE)
    assert len(job.stages[0].attempts) == 1


async def test_a_graph_that_the_engine_refuses_rejects_the_job(tmp_path):
    recipe_with(tmp_path, "ks_low", "sampler_name", "eulr")
    street = Street(tmp_path, recipes=tmp_path / "recipes")
    await street.start()
    job = await street.becomes(await street.drop(), State.REJECTED)
    assert "eulr" in job.reason.sentence
    assert [explained.id for explained in street.explained] == [job.id]
    await street.close()


async def test_a_graph_of_which_only_half_is_sound_never_runs(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    file = tmp_path / "recipes" / "tiny" / "i2v.json"
    graph = json.loads(file.read_text())
    graph["extra"] = {"class_type": "SaveImage", "inputs": {"images": ["decode", 0]}}
    file.write_text(json.dumps(graph))
    street = Street(tmp_path, recipes=tmp_path / "recipes")
    await street.start()
    await street.becomes(await street.drop(), State.REJECTED)
    queue = await ask(street, "/queue")
    assert queue["queue_pending"] == []
    await street.close()


async def test_cancelling_stops_the_engine_and_nobody_else(street):
    order(street, "slow", seconds=0.2, times=0)
    first, second = await street.drop(), await street.drop(stem="dog")
    await street.becomes(first, State.RUNNING)
    await street.conductor.cancel(first.id, "changed my mind")
    street.engines[0].faults.clear()
    await street.becomes(second, State.DONE)
    first = await street.ledger.get(first.id)
    assert (first.state, first.reason.sentence) == (State.CANCELLED, "changed my mind")
    assert len(street.videos()) == 1


async def test_cancelling_what_only_waits_at_the_engine_takes_it_back(street):
    order(street, "slow", seconds=0.5, times=0)
    first, second = await street.drop(), await street.drop(stem="dog")
    await street.becomes(first, State.RUNNING)

    async def waiting() -> list[str]:
        return [entry[1] for entry in (await ask(street, "/queue"))["queue_pending"]]

    async with asyncio.timeout(10):
        while not (ids := await waiting()):
            await asyncio.sleep(0.01)
    assert ids == [(await street.ledger.get(second.id)).attempt.prompt_id]
    await street.conductor.cancel(second.id)
    assert not set(ids) & set(await waiting())
    street.engines[0].faults.clear()
    await street.becomes(first, State.DONE)
    assert len(street.videos()) == 1


async def test_the_next_prompt_waits_at_the_engine_while_one_runs(street):
    order(street, "slow", seconds=0.1, times=0)
    jobs = [await street.drop(stem=f"cat{n}") for n in range(5)]
    await street.becomes(jobs[0], State.RUNNING)
    async with asyncio.timeout(10):
        while not (await ask(street, "/queue"))["queue_pending"]:
            await asyncio.sleep(0.01)
    queue = await ask(street, "/queue")
    assert (len(queue["queue_running"]), len(queue["queue_pending"])) == (1, 1)
    street.engines[0].faults.clear()
    for job in jobs:
        await street.becomes(job, State.DONE)


async def test_two_engines_share_the_work(tmp_path):
    street = Street(tmp_path, engines=2)
    await street.start()
    for engine in street.engines:
        engine.faults.order(Fault("slow", seconds=0.02, times=0))
    await street.until(lambda: all(worker.up for worker in street.conductor.status().workers))
    jobs = [await street.drop(stem=f"cat{n}") for n in range(6)]
    done = [await street.becomes(job, State.DONE) for job in jobs]
    used = {attempt.engine for job in done for s in job.stages for attempt in s.attempts}
    assert used == {"e0", "e1"}
    assert len(street.videos()) == 6
    await street.close()


async def test_a_job_stays_with_its_worker_however_long_the_upload_takes(tmp_path, monkeypatch):
    monkeypatch.setattr("zoetrope.dispatch.queue.LEASE_SECONDS", 2.0)
    monkeypatch.setattr("zoetrope.jobs.worker.EXTEND_SECONDS", 0.02)
    street = Street(tmp_path, engines=2)
    await street.start()
    await street.until(lambda: all(worker.up for worker in street.conductor.status().workers))
    uploads, arrive = [], asyncio.Event()
    for client in street.clients:

        async def upload(file, name, client=client, whole=client.upload):
            uploads.append(client.name)
            await arrive.wait()
            return await whole(file, name)

        monkeypatch.setattr(client, "upload", upload)
    job = await street.drop()
    await street.until(lambda: uploads)
    # Longer than a lease, with another worker that is idle and looks each time that a job is written.
    for number in range(3):
        await asyncio.sleep(0.8)
        await street.drop(stem=f"other{number}", colour=number)
    first = uploads[0]
    arrive.set()
    done = await street.becomes(job, State.DONE)
    assert done.stages[0].attempts[0].engine == first
    assert [len(stage.attempts) for stage in done.stages] == [1, 1]
    assert (await street.becomes(await street.drop(stem="last"), State.DONE)).outbox
    await street.close()


async def test_a_service_that_stops_leaves_the_prompt_running_and_finds_it_again(street):
    order(street, "slow", seconds=0.15, times=0)
    job = await street.drop()
    running = await street.becomes(job, State.RUNNING)
    await street.stop()
    await street.start()
    job = await street.becomes(job, State.DONE)
    assert job.stages[0].attempts[0].prompt_id == running.attempt.prompt_id
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_prompt_that_ended_while_nobody_looked_is_brought_home(street):
    order(street, "slow", seconds=0.05, times=0)
    job = await street.drop()
    running = await street.becomes(job, State.RUNNING)
    await street.stop()
    async with asyncio.timeout(10):
        while not await ask(street, f"/history/{running.attempt.prompt_id}"):
            await asyncio.sleep(0.01)
    await street.start()
    job = await street.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_prompt_lost_with_its_engine_while_nobody_looked_is_tried_again(street):
    order(street, "slow", seconds=0.3, times=0)
    job = await street.drop()
    await street.becomes(job, State.RUNNING)
    await street.stop()
    street.engines[0].faults.clear()
    await street.engines[0].restart()
    await street.start()
    job = await street.becomes(job, State.DONE)
    assert [a.failure.kind if a.failure else None for a in job.stages[0].attempts] == [
        "crash",
        None,
    ]


async def test_a_job_of_an_engine_that_is_no_longer_set_moves_to_another(street):
    order(street, "slow", seconds=0.3, times=0)
    job = await street.drop()
    await street.becomes(job, State.RUNNING)
    moved = await street.ledger.change(
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
    await street.stop()
    street.engines[0].faults.clear()
    await street.start()
    job = await street.becomes(job, State.DONE)
    assert job.stages[0].attempts[-1].engine == "e0"


async def test_a_full_disk_pauses_the_queue_and_fails_nobody(street, monkeypatch):
    whole = street.clients[0].fetch
    full = True

    async def fetch(output, to):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await whole(output, to)

    monkeypatch.setattr(street.clients[0], "fetch", fetch)
    monkeypatch.setattr("zoetrope.jobs.room.DISK_SECONDS", 0.05)
    job = await street.drop()
    await street.until(lambda: street.conductor.status().paused)
    assert street.conductor.status().paused.key == "disk-full"
    full = False
    job = await street.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]


async def test_a_fault_of_our_own_fails_one_job_and_not_the_service(street, monkeypatch):
    async def fetch(output, to):
        raise RuntimeError("surprise")

    with monkeypatch.context() as patch:
        patch.setattr(street.clients[0], "fetch", fetch)
        job = await street.becomes(await street.drop(), State.FAILED)
    assert job.reason.key == "internal"
    await street.becomes(await street.drop(stem="dog"), State.DONE)


async def test_a_recipe_that_breaks_while_its_stage_runs_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("zoetrope.jobs.settlement.HOST_SECONDS", 0.05)
    recipe_with(tmp_path, "neg", "text", "")
    street = Street(tmp_path, recipes=tmp_path / "recipes")
    await street.start()
    order(street, "slow", seconds=0.1, times=0)
    job = await street.drop()
    running = await street.becomes(job, State.RUNNING)
    file = tmp_path / "recipes" / "tiny" / "recipe.toml"
    sound = file.read_text()
    file.write_text("title = 3")
    async with asyncio.timeout(10):
        while not await ask(street, f"/history/{running.attempt.prompt_id}"):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert (await street.ledger.get(job.id)).state is State.RUNNING
    file.write_text(sound)
    job = await street.becomes(job, State.DONE)
    assert [len(s.attempts) for s in job.stages] == [1, 1]
    await street.close()


async def test_a_recipe_that_is_broken_beforehand_holds_its_jobs(tmp_path):
    recipe_with(tmp_path, "neg", "text", "")
    (tmp_path / "recipes" / "tiny" / "recipe.toml").write_text("title = 3")
    street = Street(tmp_path, recipes=tmp_path / "recipes")
    await street.start()
    job = await street.drop()
    async with asyncio.timeout(10):
        while (job := await street.ledger.get(job.id)).reason is None:
            await asyncio.sleep(0.01)
    assert (job.state, job.reason.key) == (State.QUEUED, "recipe")
    await street.close()


async def test_trouble_while_dealing_with_trouble_loses_no_job(street, monkeypatch):
    whole = street.clients[0].fetch
    failures = iter([RuntimeError("surprise")])

    async def fetch(output, to):
        for failure in failures:
            raise failure
        return await whole(output, to)

    settle = Settlement.settle
    others = iter([RuntimeError("and another")])

    async def settled(self, at, job_id, ended):
        if isinstance(ended, RuntimeError):
            for failure in others:
                raise failure
        return await settle(self, at, job_id, ended)

    monkeypatch.setattr(street.clients[0], "fetch", fetch)
    monkeypatch.setattr(Settlement, "settle", settled)
    await street.becomes(await street.drop(), State.DONE)


async def test_progress_is_told_while_a_stage_runs(street):
    order(street, "slow", seconds=0.1, times=0)
    job = await street.drop()
    await street.until(lambda: (live := street.conductor.live(job.id)) and live.maximum == 2)
    live = street.conductor.live(job.id)
    assert live.stage == "i2v"
    assert 0 <= live.fraction < 1
    assert live.node == "KSamplerAdvanced"
    street.engines[0].faults.clear()
    await street.becomes(job, State.DONE)
    await street.until(lambda: street.conductor.live(job.id) is None)


async def test_orders_that_make_no_sense_are_refused(street):
    job = await street.becomes(await street.drop(), State.DONE)
    for verb in (street.conductor.approve, street.conductor.cancel, street.conductor.retry):
        with pytest.raises(IllegalTransition):
            await verb(job.id)


async def test_a_running_stage_says_how_long_it_may_be_silent(street, monkeypatch):
    while_checked = []

    async def check(*args, **more):
        while_checked.append(street.conductor.live(job.id).silence)
        return await real(*args, **more)

    real = stage_results.check
    monkeypatch.setattr(stage_results, "check", check)
    order(street, "slow", seconds=0.2, times=0)
    job = await street.drop()

    def limited():
        live = street.conductor.live(job.id)
        return live is not None and live.silence >= street.jobs_settings.patience_seconds

    await street.until(limited)
    assert street.conductor.live(job.id).moved > 0
    street.engines[0].faults.clear()
    await street.becomes(job, State.DONE)
    assert set(while_checked) == {0.0}, "checking its video may take as long as it likes"
