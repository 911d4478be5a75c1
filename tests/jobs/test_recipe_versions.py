"""A job runs, is judged, published and told of by the recipe that it was accepted with, whatever becomes of the shelf."""

import asyncio
import json
import shutil

import pytest
from PIL import Image

from tests.fakes.pipeline import RECIPES, Pipeline, hold, recipe_with
from zoetrope.domain.job import State
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.inbox.intake import Intake
from zoetrope.inbox.source_image import Decoder
from zoetrope.settings import InboxSettings, OutboxSettings, Settings, StateSettings
from zoetrope.store.sqlite.ledger import Ledger


class Shelf:
    """The folder of recipes, and what people do to it."""

    def __init__(self, root):
        self.folder = root / "recipes"
        self.tiny = self.folder / "tiny"
        shutil.copytree(RECIPES / "tiny", self.tiny)
        self.edits = 0

    def nothing(self):
        """Leave it."""

    def edited(self):
        """Ask for other sizes, lengths, values, names of stages and nodes, each time anew."""
        self.edits += 1
        file = self.tiny / "recipe.toml"
        text = (RECIPES / "tiny" / "recipe.toml").read_text()
        for before, after in (
            ("pixels = 4096", f"pixels = {4096 * (1 + self.edits)}"),
            ("frames = 5", f"frames = {5 + 4 * self.edits}"),
            ("default = 4", f"default = {4 + 2 * self.edits}"),
            ('name = "upscale"', f'name = "upscale{self.edits}"'),
        ):
            assert before in text
            text = text.replace(before, after)
        file.write_text(text)
        graph = json.loads((RECIPES / "tiny" / "i2v.json").read_text())
        graph["neg"]["inputs"]["text"] = f"edit {self.edits}"
        (self.tiny / "i2v.json").write_text(json.dumps(graph))

    def deleted(self):
        """Remove it."""
        shutil.rmtree(self.tiny, ignore_errors=True)

    def renamed(self):
        """Call it something else."""
        if self.tiny.is_dir():
            self.tiny.rename(self.folder / "other")

    def broken(self):
        """Save it half written."""
        (self.tiny / "recipe.toml").write_text("title = [")


async def accepted(root, recipes):
    """Take a picture as the service does, before any engine is asked."""
    settings = Settings(
        inbox=InboxSettings(path=root / "inbox"),
        outbox=OutboxSettings(path=root / "outbox"),
        state=StateSettings(path=root / "state", min_free_megabytes=0),
    )
    settings.inbox.path.mkdir()
    picture = root / "cat.png"
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(picture)
    ledger = await Ledger.open(settings.ledger_file)
    decoder = Decoder(settings.inbox)
    shelf = Recipes((recipes,), Versions(settings.recipe_versions))
    try:
        intake = Intake(settings, ledger, shelf, decoder)
        ticket = {"recipe": "tiny", "seed": 7, "prompt": "she turns"}
        return await intake.submissions.take_upload(picture, "cat.png", ticket)
    finally:
        await decoder.close()
        await ledger.close()


async def whole_way(root, change):
    """Bring a picture to its video, with a change of the shelf before each step; gives the job and its receipt."""
    shelf = Shelf(root)
    change = getattr(shelf, change)
    job = await accepted(root, shelf.folder)
    change()
    (root / "outbox").write_text("in the way")  # nothing can be published
    pipeline = Pipeline(root, recipes=shelf.folder)
    try:
        await pipeline.start()
        await pipeline.becomes(job, State.REVIEW)
        change()
        await pipeline.conductor.approve(job.id)
        while (await pipeline.waits(job, "in-the-way")).stage is not None:
            await asyncio.sleep(0.02)  # the second stage is still to be made
        change()
        await pipeline.stop()
        (root / "outbox").unlink()
        (root / "outbox").mkdir()
        change()
        await pipeline.start()
        done = await pipeline.becomes(job, State.DONE)
    finally:
        await pipeline.close()
    return done, json.loads((root / "outbox" / done.outbox / "receipt.json").read_text())


def told(receipt):
    """Give what of a receipt the recipe decides."""
    stages = [
        {
            "name": stage["name"],
            "graph": stage["attempts"][-1]["graph"],
            "measured": [
                {k: v["measured"][k] for k in ("frames", "width", "height", "fps")}
                for v in stage["verdicts"]
            ],
            "models": stage["attempts"][-1]["environment"].get("models"),
        }
        for stage in receipt["stages"]
    ]
    same = ("recipe", "recipe_version", "recipe_files", "plan", "prompt", "negative", "seed")
    return {"stages": stages, **{key: receipt[key] for key in same}}


@pytest.mark.parametrize("change", ["edited", "deleted", "renamed", "broken"])
async def test_whatever_happens_to_a_recipe_between_two_steps_the_accepted_one_counts(
    tmp_path, monkeypatch, change
):
    monkeypatch.setattr("zoetrope.jobs.publisher.FIRST_PAUSE", 0.05)
    for name in ("left", "changed"):
        (tmp_path / name).mkdir()
    control, expected = await whole_way(tmp_path / "left", "nothing")
    job, receipt = await whole_way(tmp_path / "changed", change)
    assert told(receipt) == told(expected)
    assert receipt["plan"]["effective"] == {
        "prompt": "she turns",
        "negative": "",
        "steps": 4,
        "cfg": 1.0,
    }
    assert [len(stage.attempts) for stage in job.stages] == [1, 1]
    files = [
        sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        for folder in (
            tmp_path / "left/outbox" / control.outbox,
            tmp_path / "changed/outbox" / job.outbox,
        )
    ]
    assert files[0] == files[1]


async def test_a_version_stays_while_any_job_names_it_and_goes_when_none_does(tmp_path):
    shelf = Shelf(tmp_path)
    pipeline = Pipeline(tmp_path, recipes=shelf.folder)
    await pipeline.start()
    try:
        done = await pipeline.becomes(await pipeline.drop(), State.DONE)
        shelf.edited()
        lost = Recipes((shelf.folder,), Versions(pipeline.settings.recipe_versions))
        nobodys = lost.versions.keep(lost.get("tiny"))  # by a process that ended before the row
        folder = pipeline.settings.recipe_versions
        (folder / ".half.part").mkdir()
        await pipeline.stop()
        await pipeline.start()
        await pipeline.until(lambda: not (folder / nobodys).exists())
        assert {each.name for each in folder.iterdir()} == {done.recipe_version}
    finally:
        await pipeline.close()


async def test_a_version_that_is_kept_while_unused_ones_are_removed_stays(tmp_path):
    """The job that it is kept for has no row yet."""
    shelf = Shelf(tmp_path)
    recipes = Recipes((shelf.folder,), Versions(tmp_path / "versions"))
    earlier = Recipes((shelf.folder,), Versions(tmp_path / "versions"))
    version = earlier.versions.keep(earlier.get("tiny"))
    listed = recipes.versions.names()  # the sweep looks …
    assert recipes.versions.keep(recipes.get("tiny")) == version  # … a job is admitted …
    assert recipes.versions.forget(listed) == ()  # … and its row was not there yet
    assert recipes.versions.get(version).version == version


async def test_a_recipe_that_breaks_while_its_stage_runs_costs_nothing(tmp_path):
    recipe_with(tmp_path, "neg", "text", "")
    pipeline = Pipeline(tmp_path, recipes=tmp_path / "recipes")
    await pipeline.start()
    hold(pipeline)
    job = await pipeline.becomes(await pipeline.drop(), State.RUNNING)
    # It goes on with the version that was kept for it, the next stage as well.
    (tmp_path / "recipes" / "tiny" / "recipe.toml").write_text("title = 3")
    pipeline.engines[0].faults.clear()
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
