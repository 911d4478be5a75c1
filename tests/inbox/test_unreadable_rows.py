"""A row of the ledger that cannot be read keeps its own pictures waiting, and nobody else's."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import poison
from tests.inbox.conftest import until, write_picture
from zoetrope.store.sqlite.ledger import Ledger


@pytest.fixture
async def store(settings):
    return await Ledger.open(settings.ledger_file)


async def test_a_claim_whose_row_cannot_be_read_waits_and_keeps_nobody_up(world, picture):
    picture("cat.png")
    job = await world.take("cat.png")
    poison(world.settings.ledger_file, job)
    # Killed between the row and the release of its originals.
    write_picture(world.claimed / job.id / "cat.png")
    world.make_intake()
    world.start()
    picture("good.png", seed=2)
    await until(lambda: any(job.stem == "good" for job in world.announced))
    await until(lambda: world.intake.status.held)
    (held,) = world.intake.status.held
    assert (held.name, held.reason.key) == ("cat.png", "job-unreadable")
    assert world.intake.status.problem is None
    assert (world.claimed / job.id / "cat.png").is_file()
    assert (world.settings.work / job.id).is_dir()
