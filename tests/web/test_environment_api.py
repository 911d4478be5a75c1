"""What a video would be made with now, and an upload that asks for a recipe as it was."""

import json

import pytest

from tests.conftest import RECIPES
from tests.web.fakes import WorkerStatus, make_job
from tests.web.test_jobs import AS_JSON, form, problem
from zoetrope.engine.protocol import Stats
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.models.hashes import NOT_YET, Hashes

VERSION = "a" * 64


async def ask(client, **asked):
    response = await client.post("/api/v1/environment", data=json.dumps(asked), headers=AS_JSON)
    assert response.status == 200, await response.text()
    return await response.json()


@pytest.fixture
def models(parts, tmp_path):
    folder = tmp_path / "models"
    (folder / "vae").mkdir(parents=True)
    (folder / "vae/v.safetensors").write_bytes(b"weights")
    parts.hashes = Hashes(folder, (), tmp_path / "memory")
    return folder


async def test_every_engine_tells_what_it_has(client, parts, models):
    stats = Stats(version="0.27.1", device="a GPU", vram_total=32 * 2**30)
    parts.conductor.workers = [
        WorkerStatus(name="e0", url="http://127.0.0.1:1", stats=stats),
        WorkerStatus(name="e1", url="http://gpu.example:1", stats=stats),
        WorkerStatus(name="e2", up=False, stats=None),
    ]
    told = await ask(client, models=["vae/v.safetensors", "../state"])
    here, elsewhere, down = told["engines"]
    assert (here["version"], here["memory"]) == ("0.27.1", 32.0)
    known, outside = here["environment"]["models"]
    assert (known["size"], known["unknown"]) == (7, NOT_YET)
    assert "points outside" in outside["unknown"]
    assert "another host" in elsewhere["environment"]["models"][0]["unknown"]
    assert down["environment"] is None


async def test_it_is_said_where_a_version_of_a_recipe_comes_from(client, parts, models, tmp_path):
    parts.conductor.workers = []
    parts.recipes = Recipes((RECIPES,), Versions(tmp_path / "versions"))
    version = parts.recipes.get("tiny").version
    job = make_job(recipe_version=VERSION)
    await parts.ledger.add(job, claim=job.id)
    assert (await ask(client))["recipe"] == "unknown"
    assert (await ask(client, recipe="tiny", recipe_version=version))["recipe"] == "current"
    parts.recipes.versions.keep(parts.recipes.get("tiny"))
    assert (await ask(client, recipe="gone", recipe_version=version))["recipe"] == "kept"
    assert (await ask(client, recipe="x", recipe_version=VERSION))["recipe"] == "unknown"
    assert (await ask(client, recipe_version=VERSION, job=job.id))["recipe"] == "files"
    assert (await ask(client, recipe_version="b" * 64, job=job.id))["recipe"] == "unknown"


@pytest.mark.parametrize(
    "asked", [{"recipe_version": "../x"}, {"models": ["a"] * 65}, {"models": "a"}, {"mdels": []}]
)
async def test_what_cannot_be_asked_is_one_sentence(client, parts, models, asked):
    response = await client.post("/api/v1/environment", data=json.dumps(asked), headers=AS_JSON)
    await problem(response, 400, "bad-request")


async def test_an_upload_hands_on_the_version_and_its_files(client, parts):
    files = {"recipe.toml": "title = 1"}
    response = await client.post(
        f"/api/v1/jobs?recipe_version={VERSION}", data=form(recipe=json.dumps(files))
    )
    assert response.status == 201, await response.text()
    assert (parts.submissions.taken[0]["version"], parts.submissions.taken[0]["recipe"]) == (
        VERSION,
        files,
    )


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', '{"a": null}'])
async def test_recipe_files_that_are_none_are_refused(client, parts, content):
    response = await client.post("/api/v1/jobs", data=form(recipe=content))
    await problem(response, 400, "recipe-files")
    assert parts.submissions.taken == []


async def test_recipe_files_have_a_largest_size(client, parts, monkeypatch):
    monkeypatch.setattr("zoetrope.web.api.upload.RECIPE_BYTES", 1024)
    response = await client.post("/api/v1/jobs", data=form(recipe=json.dumps({"a": "x" * 1024})))
    await problem(response, 400, "recipe")
    assert parts.submissions.taken == []


async def test_a_version_that_is_none_is_refused(client, parts):
    response = await client.post("/api/v1/jobs?recipe_version=../x", data=form())
    assert response.status == 400
    assert parts.submissions.taken == []
