"""Every graph is read by the linter before an engine hears of it."""

import asyncio
import json
import urllib.request

import pytest

from tests.fakes.pipeline import Pipeline, recipe_with
from zoetrope.domain.job import State
from zoetrope.domain.values import Ticket
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.jobs import preflight
from zoetrope.jobs.lint_gate import LintGate
from zoetrope.models import manifest
from zoetrope.settings import LintSettings, Settings


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
