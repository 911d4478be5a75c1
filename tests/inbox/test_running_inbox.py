"""Watcher and intake together, as in the running service."""

import asyncio
import logging
import os

from tests.inbox.conftest import until, write_picture
from zoetrope.app import STOP_SECONDS
from zoetrope.domain.job import State


class TestTheRunningService:
    async def test_a_dropped_picture_is_taken(self, world, picture):
        world.start()
        picture("cat.png")
        await world.wait_for_jobs(1, State.QUEUED)
        assert world.files() == {}

    async def test_a_growing_file_is_taken_when_it_is_complete(self, world, tmp_path):
        body = write_picture(tmp_path / "cat.png", size=(300, 200)).read_bytes()
        world.start()
        with (world.inbox / "cat.png").open("wb") as file:
            for at in range(0, len(body), len(body) // 8):
                file.write(body[at : at + len(body) // 8])
                file.flush()
                await asyncio.sleep(0.05)
        (job,) = await world.wait_for_jobs(1)
        assert job.state is State.QUEUED

    async def test_two_files_of_one_stem_are_two_jobs_with_one_ticket(self, world, picture):
        picture("cat.png", seed=1)
        picture("cat.jpg", seed=2)
        (world.inbox / "cat.txt").write_text("she turns")
        world.start()
        jobs = await world.wait_for_jobs(2, State.QUEUED)
        assert [job.ticket.prompt for job in jobs] == ["she turns"] * 2
        await until(lambda: not world.files())

    async def test_a_folder_dropped_whole_is_refused_picture_by_picture(
        self, world, picture, tmp_path
    ):
        for number in range(3):
            write_picture(tmp_path / "holiday" / f"{number}.png", seed=number)
        write_picture(tmp_path / "holiday" / "deep" / "3.png", seed=3)
        world.start()
        (tmp_path / "holiday").rename(world.inbox / "holiday")
        jobs = await world.wait_for_jobs(4, State.REJECTED)
        assert {job.reason.key for job in jobs} == {"recipe-unknown", "folder-deep"}
        assert (world.rejected / "holiday" / "deep" / "3.png").is_file()

    async def test_a_refused_picture_that_is_moved_back_is_tried_again(self, world, picture):
        world.start()
        picture("plan/cat.png")
        await world.wait_for_jobs(1, State.REJECTED)
        await until((world.rejected / "plan" / "cat.png").exists)
        (world.rejected / "plan" / "cat.png").rename(world.inbox / "cat.png")
        await until(lambda: not (world.inbox / "cat.png").exists())
        await until(lambda: world.intake.status.accepted)
        states = [job.state for job in await world.jobs()]
        assert states == [State.REJECTED, State.QUEUED]

    async def test_rows_stand_in_the_order_of_arrival(self, world):
        for number in range(12):
            # The first ones are the slowest to open.
            size = (1400, 1000) if number < 2 else (32, 32)
            write_picture(world.inbox / f"{number:02}.png", size=size, seed=number)
            os.utime(world.inbox / f"{number:02}.png", (number, number))
        world.change(decode_workers=2, watch="poll")
        world.start()
        jobs = await world.wait_for_jobs(12, State.QUEUED)
        assert [job.stem for job in jobs] == [f"{number:02}" for number in range(12)]

    async def test_stopping_in_the_middle_loses_nothing(self, world, picture):
        for number in range(8):
            picture(f"{number}.png", seed=number)
        world.start()
        await until(lambda: world.announced)
        await world.stop()
        world.make_intake()
        world.start()
        jobs = await world.wait_for_jobs(8, State.QUEUED)
        assert sorted(job.stem for job in jobs) == [str(number) for number in range(8)]
        await until(lambda: not world.files())

    async def test_all_is_quiet_when_all_is_well(self, world, picture, caplog):
        caplog.set_level(logging.INFO, "zoetrope.inbox")
        world.start()
        picture("cat.png")
        (job,) = await world.wait_for_jobs(1, State.QUEUED)
        (record,) = [r for r in caplog.records if r.name == "zoetrope.inbox"]
        assert (record.job, record.action, record.levelname) == (job.short, "accepted", "INFO")

    async def test_stopping_takes_no_longer_than_the_service_has(self, world, picture):
        world.start()
        picture("cat.png")
        await world.wait_for_jobs(1)
        async with asyncio.timeout(STOP_SECONDS):
            await world.stop()
