"""A crash at every step: exactly one row, and nothing lost."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest

from tests.inbox.conftest import until, write_picture
from zoetrope.domain.job import State

STEPS = ("rename", "unlink", "mkdir", "rmdir", "fsync")
LEDGER_STEPS = ("claimed", "add", "change", "find_duplicate", "waiting", "find_publisher")


class Crash(BaseException):
    """The process is gone at this point."""


class Kill:
    """Crashes before or after the n-th step that changes something."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self.after = after
        self.on = False
        self.crashed = False

    def step(self) -> bool:
        if not self.on or self.crashed:
            return False
        self.left -= 1
        self.crashed = self.left < 0
        return self.crashed

    def install(self, monkeypatch, world) -> None:
        for name in STEPS:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        for name in LEDGER_STEPS:
            monkeypatch.setattr(world.ledger, name, self.wrap_async(getattr(world.ledger, name)))
        monkeypatch.setattr(world.decoder, "open", self.wrap_async(world.decoder.open))

    def wrap(self, real):
        def stepped(*args, **kwargs):
            now = self.step()
            if now and not self.after:
                raise Crash
            result = real(*args, **kwargs)
            if now:
                raise Crash
            return result

        return stepped

    def wrap_async(self, real):
        async def stepped(*args, **kwargs):
            now = self.step()
            if now and not self.after:
                raise Crash
            result = await real(*args, **kwargs)
            if now:
                raise Crash
            return result

        return stepped


async def start_again(world, *drops) -> None:
    """What the next start does: recover, take what was found, then take what a scan sees."""
    intake = world.make_intake()
    watcher = Quiet()
    run = asyncio.create_task(intake.run(watcher))
    # It asks the watcher for more once it has begun with all that it found.
    await until(lambda: run.done() or (watcher.asked and not intake.status.busy))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for drop in drops:
        names = [entry.path for entry in drop.pictures if (world.inbox / entry.path).exists()]
        if names:
            tickets = [e.path for e in drop.tickets if (world.inbox / e.path).exists()]
            await intake.take(world.drop(*names, tickets=tuple(tickets)))
    await intake.recover()


class Quiet:
    """A watcher that sees nothing."""

    asked = False

    async def next(self):
        self.asked = True
        await asyncio.Event().wait()

    def done(self, drop):
        """Nothing of what is taken was seen here."""

    def hand_out(self):
        """It has nothing to hand out."""


async def until_no_crash(world, monkeypatch, after, scenario, check, limit=60):
    """Play a scenario with a crash at the first step, then at the second, until it gets through."""
    for at in range(limit):
        kill = Kill(at, after=after)
        with monkeypatch.context() as patch:
            kill.install(patch, world)
            drops = scenario(at)
            intake = world.make_intake()
            try:
                for drop in drops:
                    kill.on = drop is drops[-1]
                    await intake.take(drop)
            except Crash:
                pass
            kill.on = False
        await start_again(world, *drops)
        await check(at)
        if not kill.crashed:
            assert at > 8, "there are more steps than that"
            return
    pytest.fail("it never got through")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_picture_with_a_ticket_is_queued_once(world, monkeypatch, after):
    bodies = {}

    def scenario(at):
        name = f"cat{at}.png"
        bodies[at] = write_picture(world.inbox / name, seed=at).read_bytes()
        (world.inbox / f"cat{at}.toml").write_text("seed = 7")
        return [world.drop(name, tickets=(f"cat{at}.toml",))]

    async def check(at):
        (job,) = [job for job in await world.jobs() if job.stem == f"cat{at}"]
        assert job.state is State.QUEUED
        assert job.ticket.seed == 7
        work = world.settings.work / job.id
        assert (work / job.images[0].source).read_bytes() == bodies[at]
        assert not any(f"cat{at}." in name for name in world.files())
        assert list(world.claimed.iterdir()) == []

    await until_no_crash(world, monkeypatch, after, scenario, check)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_refused_picture_is_refused_once_with_its_ticket(world, monkeypatch, after):
    def scenario(at):
        (world.inbox / f"cat{at}.png").write_text(f"hello {at}")
        (world.inbox / f"cat{at}.toml").write_text("seed = 7")
        return [world.drop(f"cat{at}.png", tickets=(f"cat{at}.toml",))]

    async def check(at):
        (job,) = [job for job in await world.jobs() if job.stem == f"cat{at}"]
        assert job.state is State.REJECTED
        names = sorted(name for name in world.files() if f"cat{at}." in name)
        assert names == [
            f"rejected/cat{at}.png",
            f"rejected/cat{at}.png.why.txt",
            f"rejected/cat{at}.toml",
        ]
        assert (world.rejected / f"cat{at}.png").read_text() == f"hello {at}"
        assert list(world.claimed.iterdir()) == []
        assert not (world.settings.work / job.id).exists()

    await until_no_crash(world, monkeypatch, after, scenario, check)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_pair_is_one_job(world, monkeypatch, after):
    def scenario(at):
        write_picture(world.inbox / f"loop/cat{at}.start.png", seed=2 * at)
        write_picture(world.inbox / f"loop/cat{at}.end.png", seed=2 * at + 1)
        return [world.drop(f"loop/cat{at}.start.png", f"loop/cat{at}.end.png")]

    async def check(at):
        (job,) = [job for job in await world.jobs() if job.stem == f"cat{at}"]
        assert job.state is State.QUEUED
        assert [image.name for image in job.images] == [f"cat{at}.start.png", f"cat{at}.end.png"]
        for image in job.images:
            assert (
                sha256((world.settings.work / job.id / image.source).read_bytes()) == image.sha256
            )
        assert not any(f"cat{at}." in name for name in world.files())

    await until_no_crash(world, monkeypatch, after, scenario, check)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_second_half_completes_the_first(world, monkeypatch, after):
    def scenario(at):
        write_picture(world.inbox / f"loop/cat{at}.end.png", seed=2 * at)
        write_picture(world.inbox / f"loop/cat{at}.start.png", seed=2 * at + 1)
        return [world.drop(f"loop/cat{at}.end.png"), world.drop(f"loop/cat{at}.start.png")]

    async def check(at):
        (job,) = [job for job in await world.jobs() if job.stem == f"cat{at}"]
        assert job.state is State.QUEUED
        assert [image.name for image in job.images] == [f"cat{at}.start.png", f"cat{at}.end.png"]
        for image in job.images:
            assert (
                sha256((world.settings.work / job.id / image.source).read_bytes()) == image.sha256
            )
        assert not any(f"cat{at}." in name for name in world.files())

    await until_no_crash(world, monkeypatch, after, scenario, check)


async def test_a_work_folder_that_belongs_to_nothing_is_put_aside_and_never_removed(world):
    stray = world.settings.work / ("0123" * 8)
    (stray / "stages").mkdir(parents=True)
    (stray / "source.png").write_bytes(b"x")
    for _ in range(3):
        await world.intake.recover()
    assert not stray.exists()
    assert (world.settings.lost / stray.name / "source.png").read_bytes() == b"x"
    assert (world.settings.lost / stray.name / "stages").is_dir()


async def test_work_of_a_job_and_of_an_upload_on_its_way_stays(
    world, picture, tmp_path, monkeypatch
):
    picture("cat.png")
    job = await world.take("cat.png")
    real, goes_on = world.decoder.open, asyncio.Event()

    async def slow(*args, **options):
        await goes_on.wait()
        return await real(*args, **options)

    monkeypatch.setattr(world.decoder, "open", slow)
    file = write_picture(tmp_path / "upload", seed=1)
    sending = asyncio.create_task(world.intake.submissions.take_upload(file, "dog.png", {}))
    await until(lambda: len(list(world.settings.work.iterdir())) == 2)
    await world.intake.recover()
    assert (world.settings.work / job.id).is_dir()
    goes_on.set()
    assert (await sending).state is State.QUEUED
    assert len(list(world.settings.work.iterdir())) == 2


async def test_a_claim_with_a_ticket_alone_is_put_back(world):
    place = world.claimed / ("0" * 32) / "loop"
    place.mkdir(parents=True)
    (place / "cat.toml").write_text("seed = 1")
    await world.intake.recover()
    assert (world.inbox / "loop" / "cat.toml").exists()
    assert await world.jobs() == []


async def test_files_that_stay_are_taken_once_over_restarts(world, picture):
    world.change(claim="copy")
    picture("cat.png")
    first = await world.take("cat.png")
    assert (world.inbox / "cat.png").exists()
    world.make_intake()
    assert (await world.take("cat.png")).id == first.id
    assert len(await world.jobs()) == 1
    assert not world.claimed.exists()


async def test_what_stands_in_the_work_folder_and_is_no_job_s_is_left_alone(world, picture):
    precious = world.root / "precious"
    precious.mkdir()
    (precious / "cat.png").write_text("the only copy")
    work = world.settings.work
    for name in ("notes", "0" * 32):
        (work / name).mkdir(parents=True)
        (work / name / "file").write_text("x")
    (work / ("1" * 32)).symlink_to(precious)
    (work / ("0" * 32) / "link").symlink_to(precious)
    picture("cat.png")
    world.start()
    (job,) = await world.wait_for_jobs(1)
    assert sorted(path.name for path in work.iterdir()) == sorted(["1" * 32, job.id, "notes"])
    assert (world.settings.lost / ("0" * 32) / "link").is_symlink()
    assert (precious / "cat.png").read_text() == "the only copy"


async def test_work_that_cannot_be_cleared_away_keeps_no_picture(world, picture, monkeypatch):
    stuck = world.settings.work / ("0" * 32)
    stuck.mkdir(parents=True)
    for name in ("unfinished", "file"):
        (stuck / name).write_text("x")
    unlink = os.unlink

    def forbidden(path, **at):
        if path == "file" or str(path).endswith("/file"):
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, **at)

    monkeypatch.setattr(os, "unlink", forbidden)
    picture("cat.png")
    world.start()
    await world.wait_for_jobs(1, State.QUEUED)
    assert world.intake.status.problem is None
    assert stuck.exists()
