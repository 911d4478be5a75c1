"""What an earlier run left, and what members put beside it, is sorted out for each claim by itself."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - a member cannot load it later
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.members import GROUP, MEMBER, SERVICE, as_user, needs_root
from tests.inbox.conftest import until, where
from tests.web.fakes import make_job
from zoetrope.domain.job import Job, State
from zoetrope.domain.query import JobQuery
from zoetrope.errors import Reason
from zoetrope.inbox.claim import Claim, Claims
from zoetrope.inbox.leftovers import Leftovers
from zoetrope.jobs.lost_work import LostWork
from zoetrope.settings import InboxSettings, OutboxSettings, Settings, StateSettings
from zoetrope.store.memory import MemoryLedger

ID = "ab" * 16


@pytest.fixture
def service(share: Path) -> Settings:
    """The settings of a service that runs as its own user."""
    home = share.parent
    for name in ("state", "outbox"):
        (home / name).mkdir()
        os.chown(home / name, SERVICE, GROUP)
    return Settings(
        inbox=InboxSettings(path=share, decode_workers=1),
        outbox=OutboxSettings(path=home / "outbox"),
        state=StateSettings(path=home / "state", min_free_megabytes=0),
    )


async def finish(claim: Claim, _: Job) -> None:
    Claims(claim.inbox).release(claim)


async def concerns_all(error: OSError, _: Claim) -> Reason:
    raise error


def recovered(settings: Settings, *jobs: Job) -> None:
    """Have the service's user sort out what there is, with some jobs in its ledger; nothing is to be taken again."""

    async def act() -> None:
        ledger = MemoryLedger()
        for job in jobs:
            await ledger.add(job, claim=job.id)
        claims = Claims(settings.inbox.path)
        lost = LostWork(settings.work, settings.lost)
        leftovers = Leftovers(settings, ledger, claims, lost, clock=lambda: 1.0)
        assert await leftovers.claims(finish, concerns_all) == []
        assert [row.job for row in await ledger.page(JobQuery(limit=9))] == list(jobs)

    assert as_user(SERVICE, lambda: asyncio.run(act())) == ""


def forge(home: Path, *, folder: int = 0o755, file: int = 0o644, below: str = "") -> None:
    (home / below).mkdir(parents=True)
    (home / below / "cat.png").write_text("x")
    (home / below / "cat.png").chmod(file)
    (home / below).chmod(folder)
    home.chmod(folder)


CLOSED: dict[str, Callable[[Path], None]] = {
    "to be changed": forge,
    "to be changed, with a folder in it": lambda home: forge(home, below="plain"),
    "to be looked at": lambda home: forge(home, folder=0o700),
    "to be entered": lambda home: forge(home, folder=0o744),
    "by its sticky bit": lambda home: forge(home, folder=0o3777),
    "only its file": lambda home: forge(home, folder=0o2777, file=0o600),
    "too deep to be walked": lambda home: forge(home, below="/".join("d" * 200 for _ in range(17))),
}


@needs_root
@pytest.mark.parametrize("place", ["holiday/.zoetrope", ".zoetrope"])
@pytest.mark.parametrize("how", CLOSED.values(), ids=CLOSED)
def test_a_forged_claim_that_is_closed_keeps_nobody_s_picture_waiting(service, place, how):
    """Every member may make such a folder in one of their own, or in an inbox that is open to them."""
    inbox = service.inbox.path
    if place == ".zoetrope":
        os.chown(inbox, MEMBER, GROUP)
        inbox.chmod(0o2770)
        (inbox / place).mkdir()
        os.chown(inbox / place, SERVICE, GROUP)
        (inbox / place).chmod(0o2770)

    def act() -> None:
        how(inbox / place / ID)

    assert as_user(MEMBER, act, umask=0o022) == ""
    recovered(service)
    recovered(service, make_job(id=ID))


async def test_a_claim_that_a_member_closes_meanwhile_keeps_no_other_picture_waiting(
    world, picture, monkeypatch
):
    """Where claims are open to members, one may put a folder of their own into a claim's place."""
    unlink, take = os.unlink, Claims.take
    exchanged: list[Path] = []

    def exchange(claims, *args, **kwargs):
        claim = take(claims, *args, **kwargs)
        exchanged[:] = exchanged or [claim.root]
        return claim

    def forbidden(path, *, dir_fd=None):
        if (where(dir_fd) / path).is_relative_to(exchanged[0]):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(Claims, "take", exchange)
        patch.setattr(os, "unlink", forbidden)
        picture("cat.png")
        world.start()
        await until(lambda: world.intake.status.held or world.intake.status.problem)
        assert world.intake.status.problem is None
        (held,) = world.intake.status.held
        assert held.reason.key == "folder-closed"
        assert exchanged[0].name in held.reason.sentence
        picture("dog.png", seed=2)
        await world.wait_for_jobs(2, State.QUEUED)
    await until(lambda: not world.intake.status.held)
