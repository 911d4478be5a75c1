"""Whole jobs whose engine makes videos that are no good, once or always."""

import json

import pytest

from tests.conftest import RECIPES
from tests.fakes.pipeline import Pipeline
from zoetrope.domain.job import Progress, State
from zoetrope.engine.simulated import Fault

ASKED = {
    "prompt": "Beat 1 (0-2s): the camera tilts up while it zooms in.",
    "width": 192,
    "height": 192,
    "frames": 17,
}
KINDS = {
    "black": "black",
    "frozen": "Nothing moves",
    "short": "frames instead of 17",
    "noise": "Noise",
}


@pytest.fixture
async def pipeline(tmp_path):
    """A pipeline whose tiny recipe looks at the pictures themselves, as real ones do."""
    own = tmp_path / "recipes/tiny"
    own.mkdir(parents=True)
    for file in (RECIPES / "tiny").iterdir():
        (own / file.name).write_text(file.read_text().replace("quality = false", "quality = true"))
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    yield pipeline
    await pipeline.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_video_is_made_once_more_and_the_receipt_tells(pipeline, kind):
    pipeline.engines[0].faults.order(Fault(kind=kind))
    job = await pipeline.becomes(await pipeline.drop(**ASKED), State.DONE, State.FAILED)
    assert job.state is State.DONE, job.reason
    told = json.loads((pipeline.root / "outbox" / job.outbox / "receipt.json").read_text())
    first, second = told["stages"][0]["attempts"]
    assert first["failure"]["kind"] == "doubtful"
    assert KINDS[kind] in first["failure"]["message"]
    assert any(letter.isdigit() for letter in first["failure"]["message"])
    assert second.get("failure") is None
    verdicts = told["stages"][0]["verdicts"]
    assert [verdict.get("findings", []) for verdict in verdicts] == [[], []]
    assert verdicts[0]["measured"]["frames"] == 17
    assert len(pipeline.videos()) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_video_that_stays_bad_is_a_failed_job_and_never_an_output(pipeline, kind):
    pipeline.engines[0].faults.order(Fault(kind=kind, times=0))
    job = await pipeline.becomes(await pipeline.drop(**ASKED), State.DONE, State.FAILED)
    assert job.state is State.FAILED
    assert job.reason is not None
    assert job.reason.key == "doubtful"
    assert KINDS[kind] in job.reason.sentence
    assert "after 2 attempts" in job.reason.sentence
    assert job.reason.next_step
    assert pipeline.videos() == []


async def test_a_person_who_tries_again_gets_it_made_again_and_not_from_the_cache(pipeline):
    """The last failure frees nothing, since nothing follows it: the engine still has the black frames."""
    pipeline.engines[0].faults.order(Fault(kind="black", times=2))
    job = await pipeline.becomes(await pipeline.drop(**ASKED), State.DONE, State.FAILED)
    assert job.state is State.FAILED
    await pipeline.conductor.retry(job.id)
    job = await pipeline.becomes(job, State.DONE, State.FAILED)
    assert job.state is State.DONE, job.reason
    assert [len(stage.attempts) for stage in job.stages] == [3, 1]


async def test_a_bad_later_stage_throws_no_finished_stage_away(pipeline):
    job = await pipeline.drop(review=True, **ASKED)
    await pipeline.becomes(job, State.REVIEW)
    pipeline.engines[0].faults.order(Fault(kind="black", times=0, node="VAEDecode"))
    pipeline.engines[0].faults.order(Fault(kind="vanish", times=0))
    await pipeline.conductor.approve(job.id)
    failed = await pipeline.becomes(job, State.FAILED)
    i2v, upscale = failed.stages
    assert (i2v.state, upscale.state) == (Progress.DONE, Progress.FAILED)
    assert all((pipeline.settings.work / job.id / each.file).is_file() for each in i2v.artefacts)
    pipeline.engines[0].faults.clear()
    await pipeline.conductor.retry(job.id)
    done = await pipeline.becomes(job, State.DONE)
    assert len(done.stages[0].attempts) == 1, "the finished stage was not run again"


async def test_a_stage_that_yields_nothing_fails_and_names_the_node(tmp_path, pipeline):
    recipe = tmp_path / "recipes/tiny/recipe.toml"
    i2v, upscale = recipe.read_text().split('name = "upscale"')
    changed = upscale.replace('output = "save"', 'output = "load"', 1)
    recipe.write_text(f'{i2v}name = "upscale"{changed}')
    job = await pipeline.becomes(await pipeline.drop(**ASKED), State.DONE, State.FAILED)
    assert job.state is State.FAILED
    assert job.reason is not None
    assert job.reason.key == "vanished"
    assert "'load' made no file" in job.reason.sentence
    assert pipeline.videos() == []
