"""A picture that may not be whole yet is looked at again, and not for ever."""

import os

from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State
from zoetrope.inbox import admission
from zoetrope.inbox.source import StillChanging


class TestLookingAgain:
    async def test_a_truncated_picture_that_was_just_written_gets_some_time(
        self, world, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(admission, "STALLED_SECONDS", 1.5)
        body = write_picture(tmp_path / "cat.jpg", size=(200, 200)).read_bytes()
        world.start()
        with (world.inbox / "cat.jpg").open("wb") as file:
            file.write(body[: len(body) // 2])
            file.flush()
            # The writer stalls for longer than the settle time, then goes on in the claimed file.
            await until(lambda: world.intake.status.later)
            file.write(body[len(body) // 2 :])
        (job,) = await world.wait_for_jobs(1)
        assert job.state is State.QUEUED

    async def test_a_picture_that_stays_truncated_is_refused(self, world, tmp_path, monkeypatch):
        monkeypatch.setattr(admission, "STALLED_SECONDS", 0.3)
        body = write_picture(tmp_path / "cat.jpg", size=(200, 200)).read_bytes()
        (world.inbox / "cat.jpg").write_bytes(body[: len(body) // 2])
        world.start()
        (job,) = await world.wait_for_jobs(1)
        assert job.reason.key == "picture-truncated"

    async def test_an_old_truncated_picture_is_refused_at_once(self, world, tmp_path):
        body = write_picture(tmp_path / "cat.jpg").read_bytes()
        (world.inbox / "cat.jpg").write_bytes(body[: len(body) // 2])
        os.utime(world.inbox / "cat.jpg", (1, 1))
        assert (await world.take("cat.jpg")).reason.key == "picture-truncated"

    async def test_a_file_that_changes_while_it_is_copied_is_copied_again(
        self, world, picture, monkeypatch
    ):
        real = admission.copy
        changing = [1, 1]

        def copy(*args):
            if changing:
                changing.pop()
                raise StillChanging
            return real(*args)

        monkeypatch.setattr(admission, "copy", copy)
        world.start()
        picture("cat.png")
        await world.wait_for_jobs(1, State.QUEUED)
        assert not changing
