"""Tests of the intake's way of one picture."""

from __future__ import annotations

from zoetrope.jobs.job import State


async def test_a_picture_becomes_a_queued_job(world, picture):
    picture("cat.png")
    job = await world.take("cat.png")
    print(job, world.files())
    assert job.state is State.QUEUED


async def test_the_running_service_takes_a_dropped_picture(world, picture):
    world.start()
    picture("cat.png")
    (job,) = await world.wait_for_jobs(1)
    assert job.state is State.QUEUED
