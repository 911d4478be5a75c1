"""An inbox that goes away with claims in it, as an unmounted share does, and comes back: no picture is forgotten."""

import errno
import os

import pytest

from tests.inbox.conftest import until, where
from zoetrope.domain.job import State
from zoetrope.inbox import admission
from zoetrope.inbox.claim import Claims


@pytest.fixture
def share(world):
    """The inbox as a share that can be unmounted: what is below its mount point has claim folders, too."""

    class Share:
        below = world.root / "below"
        away = world.root / "away"

        def unmount(self) -> None:
            world.inbox.rename(self.away)
            self.below.rename(world.inbox)

        def mount(self) -> None:
            world.inbox.rename(self.below)
            self.away.rename(world.inbox)

    (Share.below / ".zoetrope").mkdir(parents=True)
    (Share.below / "rejected").mkdir()
    return Share()


@pytest.fixture
def leave_once(monkeypatch, share):
    """Unmount the share in the middle of the first claim, before its picture is read."""
    real = admission.copy
    left = []

    def copy(file, *args):
        if not left:
            left.append(file)
            share.unmount()
        return real(file, *args)

    monkeypatch.setattr(admission, "copy", copy)
    return left


async def test_a_picture_whose_share_vanishes_in_the_middle_of_its_claim_waits_for_it(
    world, picture, share, leave_once, caplog
):
    world.start()
    picture("cat.png")
    (world.inbox / "cat.toml").write_text("seed = 7")
    await until(lambda: world.intake.status.held)
    (held,) = world.intake.status.held
    assert (held.name, held.reason.key) == ("cat.png", "picture-away")
    assert held.reason.next_step
    share.mount()
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert (job.stem, job.seed) == ("cat", 7)
    assert world.intake.status.held == ()
    assert "is gone" not in caplog.text
    await until(lambda: world.files() == {})


async def test_a_picture_that_waits_is_tried_again_as_soon_as_the_share_is_back(
    world, picture, share, leave_once
):
    world.make_intake(hold_seconds=3600.0)
    world.start()
    picture("cat.png")
    await until(lambda: world.intake.status.held)
    world.inbox.rename(share.below)
    await until(lambda: world.watcher.status.problem)
    share.away.rename(world.inbox)
    await world.wait_for_jobs(1, State.QUEUED)


async def test_a_picture_that_is_removed_while_its_share_is_away_is_forgotten_when_it_is_back(
    world, picture, share, leave_once, caplog
):
    world.start()
    picture("cat.png")
    await until(lambda: world.intake.status.held)
    (claimed,) = (share.away / ".zoetrope").rglob("cat.png")
    claimed.unlink()
    share.mount()
    await until(lambda: "cat.png is gone" in caplog.text)
    await until(lambda: world.intake.status.held == ())
    assert await world.jobs() == []


async def test_claims_on_a_share_that_is_mounted_after_the_start_are_taken_without_a_restart(
    world, picture, share
):
    picture("cat.png")
    (world.inbox / "cat.toml").write_text("seed = 7")
    claims = Claims(world.inbox)
    claims.prepare()
    assert claims.take(("cat.png",), ("cat.toml",))
    picture("dog.png", seed=1)
    # An interrupted claim that has its ticket alone, so far.
    (world.inbox / "dog.toml").write_text("seed = 8")
    alone = world.claimed / ("ab" * 16)
    alone.mkdir()
    (world.inbox / "dog.toml").rename(alone / "dog.toml")
    share.unmount()
    world.make_intake()
    world.start()
    await until(lambda: world.watcher.status.last_scan)
    assert await world.jobs() == []
    share.mount()
    jobs = await world.wait_for_jobs(2, State.QUEUED)
    assert {(job.stem, job.seed) for job in jobs} == {("cat", 7), ("dog", 8)}


async def test_a_copied_picture_whose_share_vanishes_is_found_again(
    world, picture, share, leave_once
):
    world.change(claim="copy")
    world.start()
    picture("cat.png")
    await until(lambda: leave_once)
    share.mount()
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert job.stem == "cat"
    assert set(world.files()) == {"cat.png"}


async def test_a_copied_picture_that_vanishes_before_it_is_claimed_is_found_again(
    world, picture, share, monkeypatch
):
    world.change(claim="copy")
    real = Claims.take
    left = []

    def take(*args, **options):
        if left:
            return real(*args, **options)
        left.append(1)
        share.unmount()
        try:
            return real(*args, **options)
        finally:
            share.mount()

    monkeypatch.setattr(Claims, "take", take)
    world.start()
    picture("cat.png")
    await world.wait_for_jobs(1, State.QUEUED)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT])
@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
async def test_a_move_that_a_share_breaks_off_costs_neither_picture_nor_ticket(
    world, picture, monkeypatch, code, done
):
    """A server may have done what it reports an error for; and what was moved cannot be moved back."""
    rename = os.rename
    broken = []

    def breaking(path, to, *, src_dir_fd=None, dst_dir_fd=None):
        move = src_dir_fd is not None and where(src_dir_fd).is_relative_to(world.inbox)
        if move and (broken or str(path).endswith(".png")) and len(broken) < 4:
            broken.append(path)
            if done and len(broken) == 1:
                rename(path, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            raise OSError(code, os.strerror(code), path)
        return rename(path, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", breaking)
    picture("cat.start.png")
    picture("cat.end.png", seed=1)
    (world.inbox / "cat.toml").write_text('seed = 7\nrecipe = "loop"')
    world.start()
    (job,) = await world.wait_for_jobs(1, State.QUEUED)
    assert broken
    assert (job.stem, job.seed, len(job.images)) == ("cat", 7, 2)
    await until(lambda: world.files() == {})
    assert world.intake.status.problem is None
