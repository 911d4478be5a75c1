"""A reason is written into the folder that people look into, never below the mount point of an absent one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inbox.conftest import give_back, returned, until
from tests.inbox.test_links import failed
from zoetrope.domain.job import State
from zoetrope.errors import NotReadable


def unmount(folder: Path) -> Path:
    """Put the empty folder of a mount point in a folder's place; gives where the folder is meanwhile."""
    aside = folder.with_name(f"{folder.name}-elsewhere")
    folder.rename(aside)
    folder.mkdir()
    return aside


def mount(aside: Path, folder: Path) -> None:
    folder.rmdir()  # empty: nothing was written below it
    aside.rename(folder)


async def test_a_rejected_picture_that_stays_has_its_reason_when_the_outbox_is_back(world, picture):
    world.change(claim="copy")
    outbox = world.settings.outbox.path
    outbox.mkdir()
    (world.inbox / "first.png").write_text("no picture")
    await world.take("first.png")
    assert (outbox / "rejected" / "first.png.why.txt").exists()
    aside = unmount(outbox)
    (world.inbox / "bad.png").write_text("no picture either")
    world.start()
    await until(lambda: world.intake.status.problem)
    assert "outbox" in world.intake.status.problem.sentence
    assert list(outbox.iterdir()) == []
    mount(aside, outbox)
    await until((outbox / "rejected" / "bad.png.why.txt").exists)
    await world.wait_for_jobs(2, State.REJECTED)
    await world.stop()
    assert world.intake.status.problem is None


async def test_a_failed_job_lays_nothing_below_an_absent_inbox_or_outbox(world):
    inbox, outbox = world.inbox, world.settings.outbox.path
    outbox.mkdir()
    job = failed(world.settings)
    way = returned(world.settings)
    unmount(inbox)
    await give_back(world.settings, job, way)
    laid = outbox / "rejected" / "plain"
    assert sorted(path.name for path in laid.iterdir()) == ["bad.png", "bad.png.why.txt"]
    unmount(outbox)
    with pytest.raises(NotReadable, match=f"nor into {outbox}/rejected"):
        await give_back(world.settings, job, way)
    assert [*inbox.iterdir(), *outbox.iterdir()] == []
