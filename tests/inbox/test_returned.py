"""A picture whose job came to nothing lies in `rejected` once, with its ticket, until its job has a video."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inbox.conftest import give_back, returned, write_picture
from zoetrope.domain.job import Job, Progress, State
from zoetrope.domain.steps import cancel, decline, fail, reject, retry
from zoetrope.domain.values import Failure, Ticket
from zoetrope.errors import NotReadable, Reason
from zoetrope.inbox import ticket as tickets
from zoetrope.inbox import ticket_text
from zoetrope.inbox.claim import Claims
from zoetrope.jobs.owed import owe, owing

WHY = Reason("content", "The video is black.", "Try another seed.")


def broken(job: Job) -> Job:
    """Give a job whose first stage failed."""
    return fail(job, 2.0, WHY, Failure(kind="looks", message="black"))


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def failed(world, *names: str, ticket: str = "", folder: str = "") -> Job:
    """Take pictures through and have their job fail later."""
    own = ()
    if ticket:
        own = (f"{names[0].partition('.')[0]}.toml",)
        (world.inbox / own[0]).write_text(ticket)
    job = await world.take(*names, tickets=own)
    job = await world.ledger.change(job.id, broken)
    await give_back(world.settings, job)
    return job


def move_back(world, folder: str = "") -> list[str]:
    """Move everything but the reasons back, as a person does, and name it."""
    moved = []
    place = world.rejected / folder
    for path in sorted(place.iterdir()):
        if path.is_file() and not path.name.endswith(".why.txt"):
            path.rename(world.inbox / folder / path.name)
            moved.append(path.name)
    return moved


TICKET = 'prompt = "she turns\\n\\"slowly\\" 🐈"\nseconds = 0.5\nseed = 7\nsteps = 9\nname = "hero"\nreview = false\n'


class TestItsTicket:
    async def test_goes_with_a_failed_job_s_picture_and_asks_for_the_same(self, world, picture):
        picture("cat.png")
        job = await failed(world, "cat.png", ticket=TICKET)
        assert "move it back into the inbox: cat.png, cat.toml" in world.why("cat.png")
        assert move_back(world) == ["cat.png", "cat.toml"]
        again = await world.take("cat.png", tickets=("cat.toml",))
        assert (again.state, again.ticket) == (State.QUEUED, job.ticket)
        assert again.id != job.id
        # And the reason is gone with the picture that it was about.
        assert entries(world.rejected) == []

    async def test_is_not_made_up_where_there_was_none(self, world, picture):
        picture("cat.png")
        await failed(world, "cat.png")
        assert entries(world.rejected) == ["cat.png", "cat.png.why.txt"]

    async def test_goes_with_a_pair_that_stays_a_pair(self, world, picture):
        recipe = "recipe = 'loop'\nsteps = 9\n"
        picture("cat.start.png")
        picture("cat.end.png", seed=2)
        # Somebody else's files of these names were rejected before.
        world.rejected.mkdir()
        for name in ("cat.start.png", "cat.toml"):
            (world.rejected / name).write_text("another's")
        job = await failed(world, "cat.start.png", "cat.end.png", ticket=recipe)
        stem = f"cat-{job.short}"
        assert set(entries(world.rejected)) == {
            "cat.start.png",
            "cat.toml",
            f"{stem}.start.png",
            f"{stem}.end.png",
            f"{stem}.toml",
            f"{stem}.start.png.why.txt",
        }
        for name in ("cat.start.png", "cat.toml"):
            (world.rejected / name).unlink()
        move_back(world)
        again = await world.take(f"{stem}.start.png", f"{stem}.end.png", tickets=(f"{stem}.toml",))
        assert (again.state, again.ticket) == (State.QUEUED, job.ticket)
        assert [image.sha256 for image in again.images] == [image.sha256 for image in job.images]

    async def test_of_an_upload_makes_its_pictures_a_pair_of_the_inbox(self, world, tmp_path):
        files = [write_picture(tmp_path / f"{n}.png", seed=n) for n in (1, 2)]
        job = await world.intake.submissions.take_upload(
            files[0], "one.png", {"recipe": "loop", "steps": 9}, end=(files[1], "other.png")
        )
        job = await world.ledger.change(job.id, broken)
        await give_back(world.settings, job)
        assert entries(world.rejected) == [
            "one.end.png",
            "one.start.png",
            "one.start.png.why.txt",
            "one.toml",
        ]

    @pytest.mark.parametrize("taken", ["cat.png", "cat.toml"])
    async def test_of_a_rejected_picture_bears_its_number(self, world, picture, taken):
        world.rejected.mkdir()
        (world.rejected / taken).write_text("another's")
        (world.inbox / "cat.png").write_text("hello")
        (world.inbox / "cat.toml").write_text("seed = 1")
        await world.take("cat.png", tickets=("cat.toml",))
        assert {"cat (2).png", "cat (2).toml", "cat (2).png.why.txt"} <= set(
            entries(world.rejected)
        )
        assert "cat (2).png, cat (2).toml" in world.why("cat (2).png")
        assert (world.rejected / "cat (2).toml").read_text() == "seed = 1"

    async def test_of_a_rejected_pair_bears_the_number_of_both(self, world, picture):
        world.rejected.mkdir()
        (world.rejected / "cat.end.png").write_text("another's")
        for name in ("cat.start.png", "cat.end.png"):
            picture(name, seed=len(name))
        (world.inbox / "cat.toml").write_text("recipe = 'loop'\nprmpt = 'x'")
        await world.take("cat.start.png", "cat.end.png", tickets=("cat.toml",))
        (world.rejected / "cat.end.png").unlink()
        assert entries(world.rejected) == [
            "cat (2).end.png",
            "cat (2).start.png",
            "cat (2).start.png.why.txt",
            "cat (2).toml",
        ]
        move_back(world)
        (world.inbox / "cat (2).toml").write_text("recipe = 'loop'\nprompt = 'x'")
        job = await world.take("cat (2).start.png", "cat (2).end.png", tickets=("cat (2).toml",))
        assert (job.state, job.ticket.prompt) == (State.QUEUED, "x")

    def test_of_a_claim_that_is_put_back_keeps_its_picture(self, world, picture):
        picture("cat.png")
        (world.inbox / "cat.toml").write_text("seed = 1")
        claims = Claims(world.inbox)
        claim = claims.take(("cat.png",), ("cat.toml",))
        # Another picture of that name came meanwhile.
        picture("cat.png", seed=5)
        claims.put_back(claim)
        assert set(world.files()) == {"cat.png", "cat (2).png", "cat (2).toml"}


class TestOneEntryAJob:
    async def test_however_often_it_fails(self, world, picture):
        picture("cat.png")
        job = await failed(world, "cat.png", ticket="seed = 7")
        other = await failed_again(world, job, 3)
        assert entries(world.rejected) == ["cat.png", "cat.png.why.txt", "cat.toml"]
        assert "zoetrope retry" in world.why("cat.png")
        assert other.state is State.FAILED

    async def test_also_where_somebody_has_the_name_of_its_reason(self, world, picture):
        picture("cat.png")
        world.rejected.mkdir()
        (world.rejected / "cat.png.why.txt").write_text("a person's notes")
        job = await failed(world, "cat.png")
        await failed_again(world, job, 2)
        assert entries(world.rejected) == ["cat.png", "cat.png (2).why.txt", "cat.png.why.txt"]

    async def test_and_two_jobs_of_one_name_have_one_each(self, world, picture):
        jobs = []
        for seed in (1, 2):
            picture("cat.png", seed=seed)
            jobs.append(await failed(world, "cat.png"))
        for job in jobs:
            await failed_again(world, job, 2)
        assert len(entries(world.rejected)) == 4
        await returned(world.settings).withdraw(jobs[0])
        name = f"cat-{jobs[1].short}.png"
        assert entries(world.rejected) == [name, f"{name}.why.txt"]
        await returned(world.settings).withdraw(jobs[1])
        assert entries(world.rejected) == []

    async def test_which_goes_when_the_job_has_a_video(self, world, picture):
        picture("plain/cat.png")
        (world.inbox / "plain/cat.toml").write_text("seed = 7")
        job = await world.take("plain/cat.png", tickets=("plain/cat.toml",))
        job = await world.ledger.change(job.id, broken)
        await give_back(world.settings, job)
        assert len(entries(world.rejected)) == 3
        await returned(world.settings).withdraw(job)
        assert entries(world.rejected) == []
        await returned(world.settings).withdraw(job)

    @pytest.mark.parametrize("changed", ["cat.png", "cat.toml", "cat.png.why.txt"])
    async def test_but_what_a_person_changed_stays(self, world, picture, changed):
        picture("cat.png")
        job = await failed(world, "cat.png", ticket="seed = 7")
        (world.rejected / changed).write_text("a person's")
        await returned(world.settings).withdraw(job)
        left = (
            {"cat.png", "cat.toml", "cat.png.why.txt"}
            if changed.endswith(".why.txt")
            else {changed}
        )
        assert set(entries(world.rejected)) == left
        assert (world.rejected / changed).read_text() == "a person's"

    async def test_and_files_of_others_are_never_touched(self, world, picture):
        picture("cat.png")
        job = await failed(world, "cat.png")
        (world.rejected / "cat.png").unlink()
        (world.rejected / "cat.png").symlink_to(world.root / "elsewhere.png")
        (world.root / "elsewhere.png").write_bytes(
            (world.settings.work / job.id / "source.png").read_bytes()
        )
        (world.rejected / "mine.png").write_text("x")
        await returned(world.settings).withdraw(job)
        assert (world.rejected / "cat.png").is_symlink()
        assert (world.root / "elsewhere.png").exists()
        assert (world.rejected / "mine.png").exists()

    async def test_and_a_share_that_is_gone_stops_no_video(self, world, picture, caplog):
        picture("cat.png")
        job = await failed(world, "cat.png")
        ways_back = returned(world.settings)
        world.inbox.rename(world.root / "away")
        await ways_back.withdraw(job)
        (world.root / "away").rename(world.inbox)


async def failed_again(world, job: Job, times: int) -> Job:
    for _ in range(times):
        await give_back(world.settings, job)
    return job


async def test_a_reason_advises_nothing_that_is_impossible(world, picture):
    """What was rejected would be rejected again; only what failed can go on."""
    picture("cat.png")
    picture("dog.png", seed=2)
    await failed(world, "cat.png")
    job = await world.take("dog.png")
    job = await world.ledger.change(job.id, lambda job: reject(job, 2.0, WHY))
    await give_back(world.settings, job)
    assert "zoetrope retry" in world.why("cat.png")
    assert "while its work is kept" in world.why("cat.png")
    assert "zoetrope retry" not in world.why("dog.png")
    assert "move it back" in world.why("dog.png")


SCALARS = st.one_of(
    st.text(max_size=30),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
TEXTS = st.none() | st.text(max_size=60)


@given(
    ticket=st.builds(
        Ticket,
        recipe=st.just("plain"),
        prompt=TEXTS,
        negative=TEXTS,
        seed=st.none() | st.integers(0, 2**53),
        seconds=st.none() | st.floats(0.1, 100),
        width=st.none() | st.integers(1, 4096),
        name=TEXTS,
        review=st.none() | st.booleans(),
        auto_resize=st.booleans(),
        parameters=st.dictionaries(
            st.from_regex("[a-z_]{1,12}", fullmatch=True), SCALARS, max_size=4
        ),
    )
)
def test_a_ticket_that_is_written_out_is_read_as_it_was(ticket):
    text = ticket_text.write(ticket)
    said = msgspec.structs.asdict(ticket)
    if not text:
        assert all(said[key] is None for key in ("prompt", "seed", "seconds", "name", "review"))
        return
    values = tickets.parse(text, "cat.toml")
    assert values.pop("recipe") == "plain"
    assert values.pop("parameters", {}) == ticket.parameters
    assert values.pop("auto_resize", True) is ticket.auto_resize
    assert values == {
        key: value
        for key, value in said.items()
        if value is not None and key not in ("recipe", "preset", "parameters", "auto_resize")
    }


async def cancelled(world, *names: str, step=cancel, ticket: str = "") -> Job:
    """Take pictures through and have a user end their job."""
    own = ()
    if ticket:
        own = (f"{names[0].partition('.')[0]}.toml",)
        (world.inbox / own[0]).write_text(ticket)
    job = await world.take(*names, tickets=own)
    return await world.ledger.change(job.id, lambda job: step(job, 2.0))


def reviewed(job: Job, now: float) -> Job:
    """Have a user decline what a job's first stage made."""
    first, *later = job.stages
    done = msgspec.structs.replace(first, state=Progress.DONE)
    return decline(msgspec.structs.replace(job, state=State.REVIEW, stages=(done, *later)), now)


class TestOfACancelledJob:
    """Its picture was moved out of the inbox, so the work folder has the only one, and retention removes that."""

    @pytest.mark.parametrize(
        ("step", "ending"), [(cancel, "was cancelled"), (reviewed, "was declined")]
    )
    async def test_it_is_given_back_once_with_its_ticket_and_the_two_ways_on(
        self, world, picture, step, ending
    ):
        body = picture("cat.png").read_bytes()
        job = await cancelled(world, "cat.png", step=step, ticket="seed = 7\n")
        home = returned(world.settings)
        await home.give_back(job)
        assert entries(world.rejected) == ["cat.png", "cat.png.why.txt", "cat.toml"]
        assert (world.rejected / "cat.png").read_bytes() == body
        assert world.why("cat.png").startswith(f"cat.png {ending}.\n")
        assert f"zoetrope retry {job.short}" in world.why("cat.png")
        assert move_back(world) == ["cat.png", "cat.toml"]
        # It is not given back a second time, after a crash or by retention.
        await returned(world.settings).give_back(job)
        assert entries(world.rejected) == ["cat.png.why.txt"]
        again = await world.take("cat.png", tickets=("cat.toml",))
        assert (again.state, again.ticket) == (State.QUEUED, job.ticket)

    async def test_a_retry_clears_it_away_and_cancelled_again_it_is_back(self, world, picture):
        picture("cat.png")
        job = await cancelled(world, "cat.png")
        home = returned(world.settings)
        await home.give_back(job)
        job = await world.ledger.change(job.id, lambda job: retry(job, 3.0))
        await home.take_back(job)
        assert entries(world.rejected) == []
        job = await world.ledger.change(job.id, lambda job: cancel(job, 4.0))
        await home.give_back(job)
        assert entries(world.rejected) == ["cat.png", "cat.png.why.txt"]

    async def test_a_half_that_waited_is_given_back(self, world, picture):
        picture("cat.start.png")
        (world.inbox / "cat.toml").write_text("recipe = 'loop'")
        job = await world.take("cat.start.png", tickets=("cat.toml",))
        assert job.state is State.WAITING
        job = await world.ledger.change(job.id, lambda job: cancel(job, 2.0))
        await returned(world.settings).give_back(job)
        assert "cat.start.png" in entries(world.rejected)

    async def test_what_is_still_where_it_came_from_is_not(self, world, tmp_path, picture):
        file = write_picture(tmp_path / "one.png")
        job = await world.intake.submissions.take_upload(file, "one.png", {})
        job = await world.ledger.change(job.id, lambda job: cancel(job, 2.0))
        await returned(world.settings).give_back(job)
        world.change(claim="copy")
        picture("cat.png", seed=2)
        await returned(world.settings).give_back(await cancelled(world, "cat.png"))
        assert not world.rejected.exists() or entries(world.rejected) == []
        assert not world.settings.outbox.path.exists()

    async def test_one_that_failed_is_given_back_once_its_folder_is_there_again(
        self, world, picture
    ):
        picture("cat.png")
        job = await world.take("cat.png")
        work, home = world.settings.work / job.id, returned(world.settings)
        owe(work)
        job = await world.ledger.change(job.id, broken)
        away = world.root / "away"
        world.inbox.rename(away)
        with pytest.raises(NotReadable) as error:
            await home.give_back(job)
        assert error.value.reason.key == "not-returned"
        assert f"could not be put into {world.inbox}/rejected (No such" in str(error.value)
        assert owing(world.settings.work) == [job.id]
        away.rename(world.inbox)
        # Also by another process.
        await returned(world.settings).give_back(job)
        assert entries(world.rejected) == ["cat.png", "cat.png.why.txt"]
        assert owing(world.settings.work) == []
        move_back(world)
        await returned(world.settings).give_back(job)
        assert entries(world.rejected) == ["cat.png.why.txt"], "once, and no more"

    async def test_where_its_last_copy_is_gone_it_is_not_tried_for_ever(
        self, world, picture, caplog
    ):
        picture("cat.png")
        job = await world.take("cat.png")
        work = world.settings.work / job.id
        owe(work)
        job = await world.ledger.change(job.id, broken)
        (work / job.images[0].source).unlink()
        await returned(world.settings).give_back(job)
        assert "its picture is gone" in caplog.text
        assert owing(world.settings.work) == []

    async def test_where_nothing_can_be_put_that_is_said_and_it_is_given_back_later(
        self, world, picture
    ):
        picture("cat.png")
        job = await cancelled(world, "cat.png")
        away, home = world.root / "away", returned(world.settings)
        world.inbox.rename(away)
        with pytest.raises(NotReadable, match="No such file"):
            await home.give_back(job)
        away.rename(world.inbox)
        await home.give_back(job)
        assert entries(world.rejected) == ["cat.png", "cat.png.why.txt"]
