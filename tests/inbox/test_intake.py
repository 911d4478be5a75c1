"""The way of one picture through the intake, and every fault on it."""

from __future__ import annotations

import msgspec
import pytest
from PIL import Image

from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State


async def test_a_picture_becomes_a_queued_job(world, picture):
    body = picture("cat.png").read_bytes()
    job = await world.take("cat.png")
    assert job.state is State.QUEUED
    assert (job.stem, job.folder, job.origin) == ("cat", "", "inbox")
    assert job.ticket.recipe == "plain"
    assert [(stage.name, stage.review) for stage in job.stages] == [
        ("animate", True),
        ("upscale", False),
    ]
    assert (world.settings.work / job.id / job.images[0].source).read_bytes() == body
    assert world.files() == {}
    assert world.announced == [job]
    assert world.intake.status.accepted == 1


async def test_the_job_has_the_claims_id_and_a_drawn_seed(world, picture):
    world.make_intake(new_id=lambda: "ab" * 16)
    picture("cat.png")
    job = await world.take("cat.png")
    assert job.id == "ab" * 16
    assert 0 <= job.seed < 2**32


async def test_a_ticket_is_obeyed(world, picture):
    picture("cat.png")
    (world.inbox / "cat.toml").write_text('prompt = "she turns"\nseed = 7\nreview = false')
    job = await world.take("cat.png", tickets=("cat.toml",))
    assert (job.ticket.prompt, job.seed) == ("she turns", 7)
    assert not any(stage.review for stage in job.stages)
    assert world.files() == {}


async def test_a_folders_defaults_are_overlaid_by_the_pictures_own_ticket(world, picture):
    picture("plain/cat.png")
    (world.inbox / "plain/ticket.toml").write_text('prompt = "folder"\nseconds = 1')
    (world.inbox / "plain/cat.txt").write_text("own")
    job = await world.take("plain/cat.png", tickets=("plain/cat.txt",))
    assert (job.folder, job.ticket.prompt, job.ticket.seconds) == ("plain", "own", 1.0)
    assert set(world.files()) == {"plain/ticket.toml"}


async def test_a_folders_defaults_that_arrive_while_it_runs_stay_where_they_are(world, picture):
    world.start()
    (world.inbox / "plain").mkdir()
    (world.inbox / "plain/later.toml").write_text("seed = 9")
    (world.inbox / "plain/ticket.toml").write_text('prompt = "folder"')
    picture("plain/cat.png")
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert job.ticket.prompt == "folder"
    assert set(world.files()) == {"plain/ticket.toml", "plain/later.toml"}


async def test_review_is_the_operators_to_decide_unless_the_ticket_does(world, picture):
    jobs = msgspec.structs.replace(world.settings.jobs, review=False)
    world.settings = msgspec.structs.replace(world.settings, jobs=jobs)
    world.make_intake()
    picture("cat.png")
    assert not (await world.take("cat.png")).stages[0].review
    picture("dog.png", seed=1)
    (world.inbox / "dog.toml").write_text("review = true")
    assert (await world.take("dog.png", tickets=("dog.toml",))).stages[0].review


async def test_a_changed_picture_keeps_its_source(world):
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(world.inbox / "cat.png")
    job = await world.take("cat.png")
    (image,) = job.images
    assert (image.source, image.file) == ("source.png", "upright.png")
    assert (world.settings.work / job.id / "upright.png").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "with space.png",
        "🐈.png",
        "Жук & co (1).png",
        "x" * 251 + ".png",
        "-rf.png",
        "two\nlines.png",
        "\udcff\udcfe.png",
    ],
)
async def test_difficult_names_become_jobs(world, picture, name):
    picture(name)
    job = await world.take(name)
    assert job.state is State.QUEUED
    assert len(f"{job.stem}-{job.short}".encode()) <= 255
    assert world.files() == {}


@pytest.mark.parametrize(
    ("name", "body", "key"),
    [
        ("cat.png", b"hello", "picture-unknown"),
        ("cat.png", b"", "picture-empty"),
        ("report.pdf", b"%PDF-1.7", "picture-unknown"),
    ],
)
async def test_what_is_no_picture_is_refused_with_a_row_and_a_reason(world, name, body, key):
    (world.inbox / name).write_bytes(body)
    job = await world.take(name)
    assert (job.state, job.reason.key) == (State.REJECTED, key)
    assert (world.rejected / name).read_bytes() == body
    text = world.why(name)
    assert job.reason.sentence in text
    assert job.reason.next_step in text
    assert world.announced == [job]
    assert not (world.settings.work / job.id).exists()
    assert world.intake.status.refused == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("prmpt = 'x'", "ticket-key"),
        ("seed = 'x'", "ticket-value"),
        ("seed = -1", "ticket-value"),
        ("seconds = 100", "ticket-value"),
        ("steps = 99", "ticket-value"),
        ("prompt = ", "ticket-file"),
        ("recipe = 'plane'", "recipe-unknown"),
    ],
)
async def test_a_ticket_that_cannot_be_obeyed_refuses_the_picture(world, picture, text, key):
    picture("cat.png")
    (world.inbox / "cat.toml").write_text(text)
    job = await world.take("cat.png", tickets=("cat.toml",))
    assert (job.state, job.reason.key) == (State.REJECTED, key)
    assert job.reason.next_step
    assert {"rejected/cat.png", "rejected/cat.toml"} < set(world.files())


async def test_an_unknown_folder_is_refused_with_the_nearest_recipe(world, picture):
    picture("plan/cat.png")
    job = await world.take("plan/cat.png")
    assert job.reason.key == "recipe-unknown"
    assert "did you mean `plain`?" in job.reason.sentence
    assert (world.rejected / "plan" / "cat.png").is_file()


async def test_a_default_recipe_that_is_not_there_keeps_pictures_waiting_and_rejects_none(
    world, picture
):
    recipes = world.settings.recipes
    wrong = msgspec.structs.replace(recipes, default="plane")
    world.settings = msgspec.structs.replace(world.settings, recipes=wrong)
    world.make_intake()
    picture("cat.png")
    world.start()
    await until(lambda: world.intake.status.held)
    (held,) = world.intake.status.held
    assert (held.name, held.reason.key) == ("cat.png", "recipe-unknown")
    assert "did you mean `plain`?" in held.reason.sentence
    await world.stop()
    world.settings = msgspec.structs.replace(world.settings, recipes=recipes)
    world.make_intake()
    world.start()
    await world.wait_for_jobs(1, State.QUEUED)


async def test_a_deep_folder_is_refused(world, picture):
    picture("plain/deep/cat.png")
    job = await world.take("plain/deep/cat.png")
    assert job.reason.key == "folder-deep"
    assert (world.rejected / "plain/deep/cat.png").is_file()


async def test_a_link_is_refused_and_never_followed(world):
    (world.inbox / "cat.png").symlink_to("/etc/passwd")
    job = await world.take("cat.png")
    assert job.reason.key == "picture-link"
    assert (world.rejected / "cat.png").is_symlink()


async def test_a_second_name_is_refused(world, picture, tmp_path):
    (tmp_path / "other.png").hardlink_to(picture("cat.png"))
    assert (await world.take("cat.png")).reason.key == "picture-link"


async def test_a_file_that_is_too_large_is_refused_before_it_is_copied(world, picture):
    world.change(max_megabytes=1)
    write_picture(world.inbox / "cat.png", size=(800, 600))
    assert (await world.take("cat.png")).reason.key == "picture-too-large"
