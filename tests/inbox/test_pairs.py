"""Two pictures of one stem are one job: the first and the last frame."""

from __future__ import annotations

import pytest

from zoetrope.domain.job import State


async def test_two_halves_are_one_job(world, picture):
    picture("loop/cat.start.png", seed=1)
    picture("loop/cat.end.png", seed=2)
    job = await world.take("loop/cat.start.png", "loop/cat.end.png")
    assert job.state is State.QUEUED
    assert [s.name for s in job.images] == ["cat.start.png", "cat.end.png"]
    assert [s.source for s in job.images] == ["source.png", "end.png"]


@pytest.mark.parametrize(("first", "second"), [("start", "end"), ("end", "start")])
async def test_a_lone_half_waits_for_the_other(world, picture, first, second):
    picture(f"loop/cat.{first}.png", seed=1)
    (world.inbox / "loop/cat.toml").write_text("prompt = 'x'")
    waiting = await world.take(f"loop/cat.{first}.png", tickets=("loop/cat.toml",))
    assert (waiting.state, waiting.half) == (State.WAITING, first)
    assert world.files() == {}
    picture(f"loop/cat.{second}.png", seed=2)
    job = await world.take(f"loop/cat.{second}.png")
    assert (job.id, job.state, job.half) == (waiting.id, State.QUEUED, "")
    assert [s.name for s in job.images] == ["cat.start.png", "cat.end.png"]
    assert job.ticket.prompt == "x"
    assert len(await world.jobs()) == 1
    work = world.settings.work
    assert {p.name for p in work.iterdir()} == {job.id}


async def test_the_ticket_of_the_later_half_counts(world, picture):
    picture("loop/cat.start.png", seed=1)
    await world.take("loop/cat.start.png")
    picture("loop/cat.end.png", seed=2)
    (world.inbox / "loop/cat.toml").write_text("prompt = 'x'\nseed = 3")
    job = await world.take("loop/cat.end.png", tickets=("loop/cat.toml",))
    assert (job.ticket.prompt, job.seed) == ("x", 3)


async def test_a_broken_half_leaves_the_other_waiting(world, picture):
    picture("loop/cat.start.png")
    waiting = await world.take("loop/cat.start.png")
    (world.inbox / "loop/cat.end.png").write_text("hello")
    broken = await world.take("loop/cat.end.png")
    assert broken.state is State.REJECTED
    assert (await world.ledger.get(waiting.id)).state is State.WAITING


async def test_the_same_half_twice_is_two_waiting_jobs(world, picture):
    for seed in (1, 2):
        picture("loop/cat.start.png", seed=seed)
        await world.take("loop/cat.start.png")
    assert [job.state for job in await world.jobs()] == [State.WAITING] * 2


async def test_the_same_pair_again_is_refused(world, picture):
    for _ in range(2):
        for half, seed in (("start", 1), ("end", 2)):
            picture(f"loop/cat.{half}.png", seed=seed)
            job = await world.take(f"loop/cat.{half}.png")
    assert (job.state, job.reason.key) == (State.REJECTED, "duplicate")
    assert (world.rejected / "loop/cat.end.png").is_file()


async def test_one_picture_for_a_pairs_recipe_is_a_loop(world, picture):
    picture("loop/cat.png")
    job = await world.take("loop/cat.png")
    assert len(job.images) == 2
    assert job.images[0] == job.images[1]


@pytest.mark.parametrize("names", [("cat.start.png",), ("cat.start.png", "cat.end.png")])
async def test_a_pair_for_one_pictures_recipe_is_refused(world, picture, names):
    for seed, name in enumerate(names):
        picture(name, seed=seed)
    job = await world.take(*names)
    assert (job.state, job.reason.key) == (State.REJECTED, "pair-unwanted")
    assert "loop" in job.reason.next_step
    assert {f"rejected/{name}" for name in names} < set(world.files())


async def test_of_files_that_stay_no_half_is_taken_twice(world, picture):
    world.change(claim="copy")
    picture("loop/cat.start.png", seed=1)
    await world.take("loop/cat.start.png")
    picture("loop/cat.end.png", seed=2)
    job = await world.take("loop/cat.start.png", "loop/cat.end.png")
    assert job.state is State.QUEUED
    world.make_intake()
    await world.take("loop/cat.start.png", "loop/cat.end.png")
    await world.take("loop/cat.end.png")
    assert len(await world.jobs()) == 1
