"""Every graph is read by the linter before an engine hears of it."""

import asyncio
import json
import urllib.request

import pytest

from tests.fakes.pipeline import Pipeline, recipe_with
from zoetrope.domain.job import State
from zoetrope.domain.values import Ticket
from zoetrope.errors import Rejected
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.jobs import preflight
from zoetrope.jobs.lint_gate import LintGate
from zoetrope.models import manifest
from zoetrope.settings import EngineSettings, LintSettings, Settings


def ask(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


@pytest.fixture
async def pipeline(tmp_path):
    """Start a pipeline whose tiny recipe is changed at one place."""
    made = []

    async def start(node, key, value, **ignore):
        recipe_with(tmp_path, node, key, value)
        pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
        pipeline.lint_settings = LintSettings(ignore=ignore)
        made.append(pipeline)
        await pipeline.start()
        return pipeline

    yield start
    for each in made:
        await each.close()


async def test_a_known_trap_is_refused_before_the_engine_hears_of_it(pipeline):
    place = await pipeline("ks_low", "start_at_step", 3)
    job = await place.becomes(await place.drop(), State.REJECTED, State.DONE)
    assert job.state is State.REJECTED
    assert job.reason.key == "lint"
    assert "S002" in job.reason.sentence
    assert "Let the second stage start where the first one ends." in job.reason.next_step
    assert "zoetrope rules S002" in job.reason.next_step
    assert job.stages[0].attempts == ()
    for where in ("queue", "history"):
        told = await asyncio.to_thread(ask, f"{place.engines[0].url}/{where}")
        assert not any(told.values())


async def test_a_warning_is_in_the_receipt_and_stops_nothing(pipeline):
    place = await pipeline("shift_low", "shift", 6.0)
    job = await place.becomes(await place.drop(), State.DONE)
    (warning,) = [line for line in job.stages[0].attempts[0].lint if line.startswith("S012")]
    assert "shift_low.shift" in warning
    receipt = json.loads((place.root / "outbox" / job.outbox / "receipt.json").read_text())
    assert warning in receipt["stages"][0]["attempts"][0]["lint"]
    assert any(warning in note for note in receipt["notes"])


async def test_an_operator_may_ignore_a_rule_with_a_reason(pipeline):
    place = await pipeline("shift_low", "shift", 6.0, S012="the shifts differ on purpose")
    job = await place.becomes(await place.drop(), State.DONE)
    assert not any(line.startswith("S012") for line in job.stages[0].attempts[0].lint)


def test_a_file_that_somebody_vouches_for_counts_without_a_restart(monkeypatch, tmp_path):
    monkeypatch.setattr(manifest, "shipped", lambda: tmp_path)
    file = tmp_path / manifest.FILE
    file.write_text('[[model]]\nfile = "other"\nfolder = "vae"\n')
    gate, hero = LintGate(Settings()), Recipes((shipped(),)).get("wan22-i2v-hero")

    def unpinned():
        found = preflight.check_ticket(
            gate, hero, Ticket(recipe=hero.name, prompt="she turns"), {"": 0.0}
        )
        return {finding.node for finding in found.findings if finding.rule == "M010"}

    assert "unet_high" in unpinned()
    file.write_bytes((shipped() / manifest.FILE).read_bytes())
    assert "unet_high" not in unpinned()


def engine_report(mode, state):
    """Say of an engine what pre-start.sh does, with the state of the pack that upscales."""
    pack = {"name": "ComfyUI-SeedVR2_VideoUpscaler", "state": state}
    return json.dumps({"schema": 1, "mode": mode, "packs": [pack]})


async def test_a_recipe_that_no_engine_can_finish_without_a_gpu_is_rejected_before_its_first_stage(
    tmp_path,
):
    recipe_with(tmp_path, "shift_low", "shift", 8.0)
    file = tmp_path / "recipes/tiny/recipe.toml"
    file.write_text('packs = ["ComfyUI-SeedVR2_VideoUpscaler"]\n' + file.read_text())
    (tmp_path / "e0.json").write_text(engine_report("cpu", "no-gpu"))
    place = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await place.start()
    try:
        job = await place.becomes(await place.drop(), State.REJECTED, State.DONE)
    finally:
        await place.close()
    assert (job.state, job.reason.key) == (State.REJECTED, "pack-needs-gpu")
    assert "needs ComfyUI-SeedVR2_VideoUpscaler, which does not load without a GPU" in (
        job.reason.sentence
    )
    assert "Use a recipe without it" in job.reason.next_step
    assert job.stages[0].attempts == ()


def test_a_ticket_is_told_at_once_what_its_engines_cannot_load_unless_one_of_them_can(tmp_path):
    files = [tmp_path / "0.json", tmp_path / "1.json"]
    engines = tuple(EngineSettings(name=file.stem, report=file) for file in files)
    gate = LintGate(Settings(engines=engines))
    recipes = Recipes((shipped(),))

    def refused(name):
        ticket = Ticket(recipe=name, prompt="she turns")
        try:
            preflight.check_ticket(gate, recipes.get(name), ticket, {"0": 0.0})
        except Rejected as error:
            return error.reason.key
        return ""

    none, some = engine_report("cpu", "no-gpu"), engine_report("gpu", "linked")
    for there, said in (
        ((None, None), ""),  # nothing is known
        ((none, None), ""),
        ((none, some), ""),
        ((none, engine_report("cpu", "yours")), ""),
        ((none, none), "pack-needs-gpu"),
    ):
        for file, text in zip(files, there, strict=True):
            file.unlink(missing_ok=True)
            if text is not None:
                file.write_text(text)
        assert refused("wan22-i2v-hero") == said, there
        assert refused("wan22-i2v-lightning") == "", there


@pytest.mark.parametrize(
    ("running", "key"),
    [
        ({}, ""),  # nothing is known
        ({"a": "0.27.1"}, ""),  # the other one may be newer
        ({"a": "0.27.1", "b": "0.33.0"}, ""),
        ({"a": "0.28.0", "b": "0.27.1"}, ""),
        ({"a": "0.27.1", "b": "odd"}, ""),
        ({"a": "0.27.1", "b": "v0.9.2"}, "comfyui-old"),
    ],
)
def test_a_recipe_whose_nodes_no_engine_has_yet_is_rejected_before_its_first_stage(running, key):
    engines = tuple(EngineSettings(name=name) for name in "ab")
    gate, recipes = LintGate(Settings(engines=engines)), Recipes((shipped(),))

    def refused(name):
        recipe = recipes.get(name)
        ticket = Ticket(recipe=name, prompt=None if recipe.file.clip else "she turns")
        try:
            preflight.check_ticket(gate, recipe, ticket, {"a": 0.0}, versions=running)
        except Rejected as error:
            return error.reason
        return None

    for name in ("seedvr2-rife-native", "wan22-i2v-hero-native"):
        reason = refused(name)
        assert (reason.key if reason else "") == key
        if reason is not None:
            assert (
                f"The recipe {name} needs ComfyUI 0.28.0 or newer; a runs 0.27.1, b runs v0.9.2."
                == (reason.sentence)
            )
    assert refused("seedvr2-rife-upscale") is None


async def test_an_engine_that_is_too_old_for_the_last_stage_rejects_a_job_before_the_first(
    tmp_path,
):
    recipe_with(tmp_path, "shift_low", "shift", 8.0)
    file = tmp_path / "recipes/tiny/recipe.toml"
    file.write_text('comfyui = "99.0"\n' + file.read_text())
    place = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await place.start()
    try:
        job = await place.becomes(await place.drop(), State.REJECTED, State.DONE)
    finally:
        await place.close()
    assert (job.state, job.reason.key) == (State.REJECTED, "comfyui-old")
    assert "needs ComfyUI 99.0 or newer; e0 runs" in job.reason.sentence
    assert job.stages[0].attempts == ()
