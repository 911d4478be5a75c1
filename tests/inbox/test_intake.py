"""The way of one picture through the intake, and every fault on it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time

import msgspec
import pytest
from PIL import Image

from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State
from zoetrope.domain.plan import Plan
from zoetrope.domain.steps import cancel
from zoetrope.domain.values import Artefact
from zoetrope.inbox import admission
from zoetrope.inbox.source import StillChanging
from zoetrope.jobs import receipt
from zoetrope.jobs.outbox import Outbox
from zoetrope.jobs.outbox_identity import OutboxIdentity


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


class TestDuplicates:
    async def both(self, world, picture, policy, ticket=""):
        world.change(duplicates=policy)
        jobs = []
        for name in ("cat.png", "copy.png"):
            picture(name)
            (world.inbox / name).with_suffix(".toml").write_text(ticket)
            jobs.append(await world.take(name, tickets=(f"{name[:-4]}.toml",)))
        return jobs

    async def test_the_same_again_is_refused_and_says_where_the_first_is(self, world, picture):
        first, second = await self.both(world, picture, "skip")
        assert (second.state, second.reason.key) == (State.REJECTED, "duplicate")
        assert first.short in second.reason.sentence

    async def test_a_job_whose_video_retention_removed_is_no_twin(self, world, picture):
        picture("cat.png")
        first = await world.take("cat.png")
        await world.ledger.change(
            first.id, lambda job: msgspec.structs.replace(job, state=State.DONE, removed=1.0)
        )
        picture("copy.png")
        assert (await world.take("copy.png")).state is State.QUEUED

    @pytest.mark.parametrize("policy", ["skip", "new-seed"])
    async def test_a_video_that_a_user_took_away_is_made_anew_and_the_job_says_so(
        self, world, picture, policy
    ):
        world.change(duplicates=policy)
        outbox = Outbox(
            world.settings.outbox.path,
            OutboxIdentity(world.settings.outbox.path, world.settings.outbox_identity),
        )
        outbox.prepare()
        picture("cat.png")
        first = await world.take("cat.png")
        work = world.settings.work / first.id
        (work / "made.mp4").write_text("a video")
        made = Artefact(file="made.mp4", size=7, sha256="1" * 64)
        stages = (*first.stages[:-1], msgspec.structs.replace(first.stages[-1], artefacts=(made,)))
        done = msgspec.structs.replace(first, state=State.DONE, stages=stages, outbox="cat")
        name = outbox.publish(done, work, receipt.encode(receipt.write(done, Plan(), 1.0)))
        await world.ledger.change(first.id, lambda _: msgspec.structs.replace(done, outbox=name))
        place = world.settings.outbox.path / name

        async def again(to: str) -> tuple[State, str]:
            picture(to)
            job = await world.take(to)
            said = [note for note in job.notes if first.short in note]
            await world.ledger.change(
                job.id, lambda job: msgspec.structs.replace(job, state=State.CANCELLED)
            )
            return job.state, *said

        theirs = (State.QUEUED if policy == "new-seed" else State.REJECTED,)
        assert await again("a.png") == theirs
        # Renamed is not taken away, nor is what an absent outbox hides.
        (place / "cat.mp4").rename(place / "best.mp4")
        place = place.rename(place.with_name(f"mine-{first.short}"))
        assert await again("b.png") == theirs
        away = world.settings.outbox.path.rename(world.root / "away")
        world.settings.outbox.path.mkdir()
        assert await again("c.png") == theirs
        world.settings.outbox.path.rmdir()
        away.rename(world.settings.outbox.path)
        (place / "best.mp4").unlink()
        state, said = await again("d.png")
        assert state is State.QUEUED
        assert "not in the outbox any more" in said
        shutil.rmtree(place)
        assert (await again("e.png"))[0] is State.QUEUED

    async def test_another_ticket_is_another_job(self, world, picture):
        first = await self.both(world, picture, "skip", "seed = 1")
        picture("third.png")
        (world.inbox / "third.toml").write_text("seed = 2")
        third = await world.take("third.png", tickets=("third.toml",))
        assert third.state is State.QUEUED
        assert third.fingerprint != first[0].fingerprint

    @pytest.mark.parametrize("ticket", ["", "seed = 5"])
    async def test_a_new_seed_may_be_drawn(self, world, picture, ticket):
        first, second = await self.both(world, picture, "new-seed", ticket)
        assert second.state is State.QUEUED
        assert second.seed != first.seed

    async def test_it_may_be_made_again(self, world, picture):
        first, second = await self.both(world, picture, "always", "seed = 5")
        assert (second.state, second.seed) == (State.QUEUED, first.seed)

    async def test_a_job_that_came_to_nothing_is_no_twin(self, world, picture):
        picture("cat.png")
        first = await world.take("cat.png")
        await world.ledger.change(first.id, lambda job: cancel(job, 0.0))
        picture("cat.png")
        assert (await world.take("cat.png")).state is State.QUEUED

    async def test_the_same_picture_dropped_many_times_at_once_is_one_job(self, world, picture):
        for number in range(6):
            picture(f"{number}.png")
        drops = [world.drop(f"{number}.png") for number in range(6)]
        jobs = await asyncio.gather(*(world.intake.take(drop) for drop in drops))
        states = [job.state for job in jobs]
        assert states.count(State.QUEUED) == 1
        assert states.count(State.REJECTED) == 5


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

    async def test_stopping_is_quick(self, world, picture):
        world.start()
        picture("cat.png")
        await world.wait_for_jobs(1)
        began = time.monotonic()
        await world.stop()
        assert time.monotonic() - began < 2.0
