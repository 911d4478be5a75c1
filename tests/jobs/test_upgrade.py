"""A ledger that an earlier version wrote, with jobs in every state, goes on with this one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.pipeline import Pipeline
from zoetrope.domain.job import State
from zoetrope.domain.query import JobQuery

RECORDED = Path(__file__).parents[1] / "store" / "recordings" / "ledger-3.sql"


@pytest.fixture
async def pipeline(tmp_path):
    """A host with that ledger, and the pictures of its jobs."""
    pipeline = Pipeline(tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    with closing(sqlite3.connect(state / "ledger.db")) as db:
        db.executescript(RECORDED.read_text())
        jobs = [job for (job,) in db.execute("SELECT id FROM jobs")]
    for job in jobs:
        work = state / "work" / job
        work.mkdir(parents=True)
        Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(work / "cat.png")
    yield pipeline
    await pipeline.close()


async def test_jobs_of_an_earlier_version_are_there_and_go_on(pipeline):
    await pipeline.start()
    rows = await pipeline.ledger.page(JobQuery(limit=100))
    found = {row.job.stem: row.job for row in rows}
    assert set(found) == {str(state) for state in State}
    assert all(job.recipe_version == "" and job.plan is None for job in found.values())
    for stem in ("queued", "running"):
        job = await pipeline.becomes(found[stem], State.DONE)
        assert job.recipe_version, "what is begun now is kept"
        assert job.plan.width == 64
        assert f"{stem}-{job.short}/{stem}.mp4" in pipeline.videos()
    lost = [a.failure.kind for a in job.stages[0].attempts if a.failure]
    assert lost == ["crash"], "the engine that had it is another one now"
    assert (await pipeline.ledger.get(found["done"].id)) == found["done"]
    assert found["rejected"].reason.key == "picture-unknown"
    again = await pipeline.conductor.retry(found["cancelled"].id)
    assert (await pipeline.becomes(again, State.DONE)).recipe_version


async def test_a_review_of_an_earlier_version_waits_for_its_clip_and_is_answered(pipeline):
    await pipeline.start()
    (row,) = await pipeline.ledger.page(JobQuery(states=(State.REVIEW,)))
    waits = await pipeline.waits(row.job, "missing")
    assert waits.state is State.REVIEW
    declined = await pipeline.conductor.decline(row.job.id, "not this one")
    assert declined.state is State.CANCELLED
