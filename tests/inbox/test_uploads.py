"""Uploads go the same way as drops, with their troubles raised."""

from __future__ import annotations

import pytest

from tests.inbox.conftest import no_space, write_picture
from zoetrope.errors import Rejected
from zoetrope.inbox import admission
from zoetrope.jobs.job import State


class TestUploads:
    async def test_an_upload_becomes_a_job(self, world, tmp_path):
        file = write_picture(tmp_path / "upload")
        job = await world.intake.counter.take_upload(file, "Жук.png", {"prompt": "x", "seed": 3})
        assert (job.state, job.origin, job.stem) == (State.QUEUED, "api", "Жук")
        assert (job.ticket.prompt, job.seed, job.stills[0].name) == ("x", 3, "Жук.png")
        assert file.exists()

    async def test_two_files_are_a_pair(self, world, tmp_path):
        files = [write_picture(tmp_path / name, seed=i) for i, name in enumerate("ab")]
        job = await world.intake.counter.take_upload(
            files[0], "a.png", {"recipe": "loop"}, end=(files[1], "b.png")
        )
        assert [still.name for still in job.stills] == ["a.png", "b.png"]

    async def test_what_is_wrong_is_raised_and_leaves_nothing(self, world, tmp_path):
        (tmp_path / "upload").write_text("hello")
        with pytest.raises(Rejected) as refused:
            await world.intake.counter.take_upload(tmp_path / "upload", "cat.png", {})
        assert refused.value.reason.key == "picture-unknown"
        assert await world.jobs() == []
        assert list(world.settings.work.iterdir()) == []

    async def test_a_truncated_upload_is_refused_at_once(self, world, tmp_path):
        body = write_picture(tmp_path / "cat.jpg").read_bytes()
        (tmp_path / "upload").write_bytes(body[: len(body) // 2])
        with pytest.raises(Rejected) as refused:
            await world.intake.counter.take_upload(tmp_path / "upload", "cat.jpg", {})
        assert refused.value.reason.key == "picture-truncated"

    async def test_a_duplicate_names_the_earlier_job(self, world, tmp_path):
        file = write_picture(tmp_path / "upload")
        first = await world.intake.counter.take_upload(file, "cat.png", {})
        with pytest.raises(Rejected) as refused:
            await world.intake.counter.take_upload(file, "dog.png", {})
        assert refused.value.reason.key == "duplicate"
        assert refused.value.job == first.id
        assert (world.settings.work / first.id).is_dir()

    async def test_a_full_disk_is_raised_as_such(self, world, tmp_path, monkeypatch):
        file = write_picture(tmp_path / "upload")
        monkeypatch.setattr(admission, "copy", no_space)
        with pytest.raises(OSError, match="No space"):
            await world.intake.counter.take_upload(file, "cat.png", {})
