"""What is handed over goes the same way as drops, with its troubles raised."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inbox.conftest import no_space, write_picture, write_recipe
from zoetrope.domain.job import State
from zoetrope.errors import NotFound, RecipeError, Rejected
from zoetrope.graphs.versions import Versions
from zoetrope.inbox import admission
from zoetrope.inbox.claim import Claims
from zoetrope.inbox.request_key import request_key


class TestUploads:
    async def test_an_upload_becomes_a_job(self, world, tmp_path):
        file = write_picture(tmp_path / "upload")
        job = await world.intake.submissions.take_upload(
            file, "Жук.png", {"prompt": "x", "seed": 3}
        )
        assert (job.state, job.origin, job.stem) == (State.QUEUED, "api", "Жук")
        assert (job.ticket.prompt, job.seed, job.images[0].name) == ("x", 3, "Жук.png")
        assert file.exists()

    async def test_two_files_are_a_pair(self, world, tmp_path):
        files = [write_picture(tmp_path / name, seed=i) for i, name in enumerate("ab")]
        job = await world.intake.submissions.take_upload(
            files[0], "a.png", {"recipe": "loop"}, end=(files[1], "b.png")
        )
        assert [image.name for image in job.images] == ["a.png", "b.png"]

    async def test_what_is_wrong_is_raised_and_leaves_nothing(self, world, tmp_path):
        (tmp_path / "upload").write_text("hello")
        with pytest.raises(Rejected) as refused:
            await world.intake.submissions.take_upload(tmp_path / "upload", "cat.png", {})
        assert refused.value.reason.key == "picture-unknown"
        assert await world.jobs() == []
        assert list(world.settings.work.iterdir()) == []

    async def test_a_truncated_upload_is_refused_at_once(self, world, tmp_path):
        body = write_picture(tmp_path / "cat.jpg").read_bytes()
        (tmp_path / "upload").write_bytes(body[: len(body) // 2])
        with pytest.raises(Rejected) as refused:
            await world.intake.submissions.take_upload(tmp_path / "upload", "cat.jpg", {})
        assert refused.value.reason.key == "picture-truncated"

    async def test_a_job_is_known_by_the_key_of_its_request(self, world, tmp_path):
        file = write_picture(tmp_path / "upload")
        key = request_key("mine", {"ticket": {}}, {"image": file})
        job = await world.intake.submissions.take_upload(file, "cat.png", {}, key=key)
        assert await world.ledger.claimed(key.claim) == job
        assert job.request == str(key)
        assert request_key("mine", {"ticket": {}}, {"image": file}) == key
        other = request_key("mine", {"ticket": {}}, {"end": file})
        assert other.claim == key.claim
        assert other.digest != key.digest

    async def test_a_named_picture_is_known_by_its_claim_and_by_the_key(self, world):
        write_picture(world.settings.inbox.path / "cat.png")
        key = request_key("mine", {"path": "cat.png"}, {})
        job = await world.intake.submissions.take_named("cat.png", {}, key=key)
        assert await world.ledger.claimed(key.claim) == await world.ledger.claimed(job.id) == job

    async def test_a_duplicate_names_the_earlier_job(self, world, tmp_path):
        file = write_picture(tmp_path / "upload")
        first = await world.intake.submissions.take_upload(file, "cat.png", {})
        with pytest.raises(Rejected) as refused:
            await world.intake.submissions.take_upload(file, "dog.png", {})
        assert refused.value.reason.key == "duplicate"
        assert refused.value.job == first.id
        assert (world.settings.work / first.id).is_dir()

    async def test_a_version_is_taken_from_the_shelf_or_what_is_kept_and_from_nowhere_else(
        self, world, tmp_path
    ):
        file = write_picture(tmp_path / "upload")
        take = world.intake.submissions.take_upload
        name = world.settings.recipes.default
        old = world.recipes.get(name)
        first = await take(file, "cat.png", {"seed": 1}, version=old.version)
        toml = tmp_path / "recipes" / name / "recipe.toml"
        toml.write_text(toml.read_text().replace("frames = 17", "frames = 21"))
        again = await take(file, "cat.png", {"seed": 2}, version=old.version, parent=first.id)
        now = await take(file, "cat.png", {"seed": 3})
        assert first.recipe_version == again.recipe_version == old.version != now.recipe_version
        with pytest.raises(Rejected) as refused:
            await take(file, "cat.png", {"seed": 4}, version="0" * 64)
        assert refused.value.reason.key == "recipe-version-unknown"
        assert len(await world.jobs()) == 3

    async def test_files_of_a_version_are_taken_only_if_the_parent_was_accepted_with_it(
        self, world, tmp_path
    ):
        file = write_picture(tmp_path / "upload")
        take = world.intake.submissions.take_upload
        name = world.settings.recipes.default
        old = world.recipes.get(name)
        texts = {each: content.decode() for each, content in old.files.items()}
        parent = await take(file, "cat.png", {"seed": 1})
        toml = tmp_path / "recipes" / name / "recipe.toml"
        toml.write_text(toml.read_text().replace("frames = 17", "frames = 21"))
        other = await take(file, "cat.png", {"seed": 2})
        world.recipes.versions = Versions()  # as if the kept version were lost
        asked = {"version": old.version, "recipe": texts}
        for stranger in ("", other.id, "f" * 32):
            with pytest.raises(Rejected) as refused:
                await take(file, "cat.png", {"seed": 3}, parent=stranger, **asked)
            assert refused.value.reason.key == "recipe-version-unknown"
        changed = {**texts, "recipe.toml": texts["recipe.toml"] + "#"}
        with pytest.raises(RecipeError, match="were changed since"):
            await take(
                file, "cat.png", {"seed": 3}, parent=parent.id, version=old.version, recipe=changed
            )
        job = await take(file, "cat.png", {"seed": 3}, parent=parent.id, **asked)
        assert job.recipe_version == old.version

    async def test_a_full_disk_is_raised_as_such(self, world, tmp_path, monkeypatch):
        file = write_picture(tmp_path / "upload")
        monkeypatch.setattr(admission, "copy", no_space)
        with pytest.raises(OSError, match="No space"):
            await world.intake.submissions.take_upload(file, "cat.png", {})


@pytest.fixture
def files(tmp_path):
    return ((write_picture(tmp_path / "upload"), "cat.png"),)


class TestAgain:
    async def ask(self, world, files, ticket, changes):
        (file, name), *_ = files
        earlier = await world.intake.submissions.take_upload(file, name, ticket)
        return earlier, await world.intake.submissions.again(earlier, files, changes)

    async def test_the_same_is_asked_for_with_a_new_seed(self, world, files):
        earlier, job = await self.ask(
            world, files, {"prompt": "x", "seed": 3, "steps": 7, "seconds": 2}, {}
        )
        assert job.parent == earlier.id
        assert job.stem == earlier.stem
        assert job.images == earlier.images
        assert (job.ticket.prompt, job.ticket.seconds) == ("x", 2.0)
        assert job.ticket.parameters == {"steps": 7}
        assert job.ticket.seed is None
        assert job.seed != 3

    async def test_what_is_changed_is_changed(self, world, files):
        _, job = await self.ask(
            world,
            files,
            {"prompt": "x", "steps": 7, "seconds": 2},
            {"prompt": "y", "seed": 5, "frames": 9, "parameters": {"steps": 8}},
        )
        assert (job.ticket.prompt, job.seed, job.ticket.frames) == ("y", 5, 9)
        assert job.ticket.seconds is None  # length is said in one way
        assert job.ticket.parameters == {"steps": 8}

    async def test_null_takes_a_value_back(self, world, files):
        _, job = await self.ask(
            world, files, {"prompt": "x", "steps": 7}, {"prompt": None, "steps": None}
        )
        assert job.ticket.prompt is None
        assert job.ticket.parameters == {}

    async def test_the_same_twice_is_no_duplicate(self, world, files):
        earlier, job = await self.ask(world, files, {"seed": 3}, {"seed": 3})
        assert (earlier.seed, job.seed) == (3, 3)
        assert earlier.id != job.id

    async def test_what_another_recipe_does_not_know_is_left_behind(self, world, files):
        bare = write_recipe(world.root / "recipes", "bare") / "recipe.toml"
        text = bare.read_text()
        bare.write_text(text[: text.index("[parameters.steps]")])
        _, job = await self.ask(world, files, {"prompt": "x", "steps": 7}, {"recipe": "bare"})
        assert (job.ticket.recipe, job.ticket.prompt) == ("bare", "x")
        assert job.ticket.parameters == {}

    async def test_a_mistake_is_refused_and_leaves_nothing(self, world, files):
        with pytest.raises(Rejected) as refused:
            await self.ask(world, files, {}, {"promt": "y"})
        assert refused.value.reason.key == "ticket-key"
        assert len(await world.jobs()) == len(list(world.settings.work.iterdir())) == 1


class TestNamed:
    async def test_a_picture_of_the_inbox_is_taken_with_another_ticket(self, world):
        write_picture(world.inbox / "cat.png")
        (world.inbox / "cat.toml").write_text("prompt = 'x'\nsteps = 7")
        job = await world.intake.submissions.take_named("cat.png", {"prompt": "y"})
        assert (job.state, job.origin, job.stem) == (State.QUEUED, "inbox", "cat")
        assert job.ticket.prompt == "y"
        assert job.ticket.parameters == {"steps": 7}
        assert [path.name for path in world.inbox.iterdir() if path.is_file()] == []

    async def test_its_folder_says_the_recipe(self, world):
        write_picture(world.inbox / "loop" / "cat.png")
        job = await world.intake.submissions.take_named("loop/cat.png", {})
        assert (job.ticket.recipe, job.folder) == ("loop", "loop")

    @pytest.mark.parametrize("claim", ["move", "copy"])
    async def test_what_is_refused_lies_where_it_lay(self, world, claim):
        world.change(claim=claim)
        before = write_picture(world.inbox / "cat.png").read_bytes()
        (world.inbox / "cat.toml").write_text("prompt = 'x'")
        with pytest.raises(Rejected):
            await world.intake.submissions.take_named("cat.png", {"promt": "y"})
        assert (world.inbox / "cat.png").read_bytes() == before
        assert (world.inbox / "cat.toml").exists()
        assert await world.jobs() == []
        assert list(world.settings.work.iterdir()) == []

    async def test_a_picture_that_stays_can_be_taken_again_but_is_known_to_the_inbox(self, world):
        world.change(claim="copy")
        write_picture(world.inbox / "cat.png")
        first = await world.intake.submissions.take_named("cat.png", {"prompt": "x"})
        second = await world.intake.submissions.take_named("cat.png", {"prompt": "y"})
        assert first.id != second.id
        assert (await world.take("cat.png")).id == first.id
        assert len(await world.jobs()) == 2

    async def test_what_is_wanted_once_more_is_no_duplicate(self, world):
        world.change(claim="copy")
        write_picture(world.inbox / "cat.png")
        first = await world.intake.submissions.take_named("cat.png", {})
        with pytest.raises(Rejected):
            await world.intake.submissions.take_named("cat.png", {})
        second = await world.intake.submissions.take_named("cat.png", {}, parent=first.id)
        assert second.parent == first.id

    async def test_a_half_waits_for_the_other(self, world):
        write_picture(world.inbox / "loop" / "cat.start.png")
        job = await world.intake.submissions.take_named("loop/cat.start.png", {"prompt": "y"})
        assert (job.state, job.half) == (State.WAITING, "start")

    @pytest.mark.parametrize(
        "path",
        [
            "none.png", "../outside.png", "/etc/passwd", "", ".", "a//b.png", "./cat.png", "loop/../cat.png",
            ".zoetrope/x/cat.png", "rejected/cat.png", "a/b/c.png", "cat.toml", "loop", "cat.png\0",
            "linked/outside.png", "link.png", "\udcff.png", "x" * 300 + ".png", "pipe.png",
        ],
    )  # fmt: skip
    async def test_only_a_picture_that_lies_in_the_inbox_can_be_named(self, world, path):
        outside = write_picture(world.root / "outside" / "outside.png")
        write_picture(world.inbox / "cat.png")
        write_picture(world.rejected / "cat.png")
        (world.inbox / "loop").mkdir()
        (world.inbox / "linked").symlink_to(outside.parent, target_is_directory=True)
        (world.inbox / "link.png").symlink_to(outside)
        os.mkfifo(world.inbox / "pipe.png")
        with pytest.raises(NotFound) as refused:
            await world.intake.submissions.take_named(path, {})
        assert refused.value.reason.key == "picture-missing"
        assert outside.exists()
        assert (world.inbox / "cat.png").exists()

    async def test_one_that_is_still_written_is_left_alone(self, world):
        body = write_picture(world.root / "whole.jpg").read_bytes()
        (world.inbox / "cat.jpg").write_bytes(body[: len(body) // 2])
        with pytest.raises(Rejected) as refused:
            await world.intake.submissions.take_named("cat.jpg", {})
        assert refused.value.reason.key == "picture-truncated"
        assert (world.inbox / "cat.jpg").exists()


@settings(deadline=None)
@given(path=st.text(max_size=300))
def test_no_name_whatever_leads_out_of_an_empty_inbox(path):
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "a" / "inbox"
        inbox.mkdir(parents=True)
        with pytest.raises(NotFound):
            Claims(inbox).take_named(path)
