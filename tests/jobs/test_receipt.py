"""What a receipt says that a video was made with is what the engine had when the stage was submitted."""

import asyncio
import hashlib
import json
import shutil
import threading
import time

import aiohttp
import msgspec
import pytest

from tests.fakes.pipeline import RECIPES, Pipeline, hold, receipt
from zoetrope.domain.environment import ModelFile
from zoetrope.domain.job import State
from zoetrope.engine.comfyui import ComfyEngine
from zoetrope.engine.protocol import Stats
from zoetrope.engine.report import EngineReport
from zoetrope.graphs.assembly import digest
from zoetrope.jobs import environment as module
from zoetrope.models.hashes import NOT_YET, sha256_of
from zoetrope.settings import ModelsSettings

PACKS = [
    {"name": "KJNodes", "state": "linked", "version": "1.2.3", "source": "git " + "a" * 40},
    {"name": "Bare", "state": "yours"},
    {"name": "Gone", "state": "missing"},
]
REPORT = {
    "schema": 1,
    "driver": "580.95.05",
    "mode": "gpu",
    "flags": ["--cache-ram", "6", "6"],
    "runtime": "python 3.12.3, torch 2.11.0",
    "packs": PACKS,
}


def loads(folder) -> list[str]:
    """Name the model files of the tiny recipe's first graph."""
    from zoetrope.graphs.shelf import load

    return list(module.names_in(load(folder).graphs["i2v.json"]))


def filled(root, names, content=b"weights"):
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


async def hashed(pipeline, names):
    """Ask for the hashes of files until they are known."""
    async with asyncio.timeout(45):
        while any(each.unknown for each in await pipeline.hashes.look(names)):
            await asyncio.sleep(0.01)


def gpu(report=None, **more):
    told = msgspec.convert(report, EngineReport) if report else None

    async def stats(_self):
        values = {"version": "0.27.1", "device": "a GPU", "vram_total": 32 * 2**30, **more}
        return Stats(**values, runtime=told)

    return stats


@pytest.fixture
async def pipeline(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    pipeline.models_settings = ModelsSettings(path=tmp_path / "models")
    yield pipeline
    await pipeline.close()


def paper(pipeline) -> dict:
    (file,) = pipeline.settings.outbox.path.glob("*/receipt.json")
    return json.loads(file.read_text())


def environments(told) -> list[dict]:
    return [stage["attempts"][-1]["environment"] for stage in told["stages"]]


async def test_a_receipt_names_models_packs_packages_and_the_words_the_engine_got(
    pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", gpu(REPORT))
    names = loads(tmp_path / "recipes/tiny")
    assert names
    filled(tmp_path / "models", names)
    await pipeline.start()
    await hashed(pipeline, names)
    done = await pipeline.becomes(await pipeline.drop(prompt="she turns"), State.DONE)
    told = paper(pipeline)
    first = environments(told)[0]
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert {each["name"]: each["sha256"] for each in first["models"]} == dict.fromkeys(
        names, sha256
    )
    assert (first["driver"], first["runtime"]) == (REPORT["driver"], REPORT["runtime"])
    assert (first["flags"], first["dynamic_vram"]) == (REPORT["flags"], "on")
    assert first["packs"] == [
        {"name": "KJNodes", "version": "1.2.3", "source": "git " + "a" * 40},
        {"name": "Bare", "unknown": module.NO_VERSION},
        {"name": "Gone", "unknown": module.NOT_LOADED},
    ]
    assert told["stages"][0]["attempts"][-1]["version"] == "0.27.1"
    assert told["prompt"] == "she turns"
    assert told["negative"] == done.plan.effective.get("negative", "")
    files = {name: text.encode() for name, text in told["recipe_files"].items()}
    assert digest(files) == told["recipe_version"] == done.recipe_version


async def test_a_hash_that_is_known_only_after_the_submission_is_filled_in(
    pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", gpu(REPORT))
    names = loads(tmp_path / "recipes/tiny")
    filled(tmp_path / "models", names)
    await pipeline.start()
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    assert {each.unknown for each in job.stages[0].attempts[0].environment.models} == {NOT_YET}
    await hashed(pipeline, names)
    await pipeline.conductor.approve(job.id)
    await pipeline.becomes(job, State.DONE)
    assert all(each["sha256"] for each in environments(paper(pipeline))[0]["models"])


async def test_a_model_that_was_replaced_between_submission_and_publishing_is_not_given_the_new_hash(
    pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", gpu(REPORT))
    names = loads(tmp_path / "recipes/tiny")
    filled(tmp_path / "models", names)
    pipeline.sha256 = lambda *of: sha256_of(*of) if replaced else None
    replaced = False
    await pipeline.start()
    job = await pipeline.becomes(await pipeline.drop(review=True), State.REVIEW)
    filled(tmp_path / "models", names, b"others")
    replaced = True
    await hashed(pipeline, names)
    await pipeline.conductor.approve(job.id)
    await pipeline.becomes(job, State.DONE)
    assert {each["unknown"] for each in environments(paper(pipeline))[0]["models"]} == {NOT_YET}


async def test_a_video_is_published_while_a_model_is_still_being_hashed(
    pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", gpu(REPORT))
    filled(tmp_path / "models", loads(tmp_path / "recipes/tiny"))
    begun, ended = threading.Event(), threading.Event()

    def endless(_path, _identity, leaving):
        begun.set()
        while not leaving():
            time.sleep(0.001)
        ended.set()

    pipeline.sha256 = endless
    await pipeline.start()
    await pipeline.becomes(await pipeline.drop(), State.DONE)
    assert {each["unknown"] for each in environments(paper(pipeline))[0]["models"]} == {NOT_YET}
    assert (begun.is_set(), ended.is_set()) == (True, False)


@pytest.mark.parametrize(
    ("url", "report", "simulated", "reason"),
    [
        ("http://gpu.example:8188", None, False, module.ELSEWHERE),
        ("http://127.0.0.1:8188", None, True, module.SIMULATED),
        ("http://127.0.0.1:8188", None, False, NOT_YET),
        ("http://gpu.example:8188", REPORT, False, NOT_YET),
    ],
    ids=["elsewhere", "simulated", "loopback", "reported"],
)
async def test_models_of_an_engine_elsewhere_are_unknown_with_the_reason(
    pipeline, tmp_path, url, report, simulated, reason
):
    filled(tmp_path / "models", ["vae/v.safetensors"])
    await pipeline.start()
    stats = await gpu(report, simulated=simulated)(None)
    (found,) = await module.models_of(pipeline.hashes, url, stats, ("vae/v.safetensors",))
    assert found.unknown == reason


async def test_a_persons_own_file_in_the_engines_folder_is_not_taken_for_ours(pipeline, tmp_path):
    filled(tmp_path / "models", ["vae/v.safetensors"])
    await pipeline.start()
    warning = {
        "key": "yours",
        "sentence": "/base/models/vae/v.safetensors is not ours and is used as it is.",
        "next_step": "",
    }
    stats = await gpu({**REPORT, "warnings": [warning]})(None)
    (found,) = await module.models_of(
        pipeline.hashes, "http://[::1]:1", stats, ("vae/v.safetensors",)
    )
    assert found == ModelFile(name="vae/v.safetensors", unknown=module.THEIRS)


@pytest.mark.parametrize("report", [None, {"schema": 1}], ids=["no-report", "older-report"])
async def test_packs_that_nobody_reports_are_unknown_with_the_reason(report):
    packs, unknown = module.packs_of(await gpu(report)(None))
    assert packs == ()
    assert "report" in unknown


async def test_a_receipt_of_the_simulated_engine_claims_no_models_and_no_packs(pipeline):
    await pipeline.start()
    await pipeline.becomes(await pipeline.drop(), State.DONE)
    for told in environments(paper(pipeline)):
        assert "simulated" in told["packs_unknown"]
        assert all("simulated" in each["unknown"] for each in told.get("models", []))


async def forgotten(pipeline):
    """Have a job wait in the engine's own queue, behind another, and the engine forget both while nobody looks."""
    hold(pipeline)
    await pipeline.becomes(await pipeline.drop(stem="first"), State.RUNNING)
    job = await pipeline.drop(stem="behind", colour=7)
    async with asyncio.timeout(45), aiohttp.ClientSession() as http:
        queue = {"queue_pending": []}
        while not queue["queue_pending"]:
            async with http.get(f"{pipeline.engines[0].url}/queue") as answer:
                queue = await answer.json()
    await pipeline.stop()
    pipeline.engines[0].faults.clear()
    await pipeline.engines[0].restart()
    return job


async def test_a_prompt_that_is_sent_again_is_told_with_what_the_engine_has_then(
    pipeline, monkeypatch
):
    monkeypatch.setattr(ComfyEngine, "stats", gpu({**REPORT, "chosen": "sdpa"}))
    await pipeline.start()
    job = await forgotten(pipeline)
    newer = {**REPORT, "driver": "590.1", "chosen": "sageattn", "packs": [PACKS[0]]}
    monkeypatch.setattr(ComfyEngine, "stats", gpu(newer, version="0.28.0"))
    await pipeline.start()
    done = await pipeline.becomes(job, State.DONE)
    (attempt,) = done.stages[0].attempts
    assert (attempt.version, attempt.attention) == ("0.28.0", "sageattn")
    assert (attempt.environment.driver, len(attempt.environment.packs)) == ("590.1", 1)


async def test_a_prompt_is_not_sent_again_to_a_gpu_that_is_smaller_than_its_plan(
    pipeline, tmp_path, monkeypatch
):
    with (tmp_path / "recipes/tiny/recipe.toml").open("a") as file:
        file.write("[memory.16]\npixels = 4096\n[memory.80]\npixels = 16384\n")
    monkeypatch.setattr(ComfyEngine, "stats", gpu(REPORT, vram_total=80 * 2**30))
    await pipeline.start()
    job = await forgotten(pipeline)
    monkeypatch.setattr(ComfyEngine, "stats", gpu(REPORT, vram_total=16 * 2**30))
    await pipeline.start()
    done = await pipeline.becomes(job, State.DONE)
    assert [a.memory for a in done.stages[0].attempts] == [80.0, 16.0]
    assert "smaller GPU" in done.stages[0].attempts[0].failure.message
    assert (done.plan.memory, done.plan.width) == (16, 64)


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
