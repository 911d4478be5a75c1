"""A row that cannot be read, beside jobs that run."""

from tests.fakes.ledger import poison
from zoetrope.domain.job import State


async def test_the_conductor_starts_and_works_beside_a_row_that_cannot_be_read(pipeline):
    bad = await pipeline.drop(stem="bad")
    await pipeline.stop()
    poison(pipeline.settings.ledger_file, bad)
    await pipeline.start()
    good = await pipeline.drop(stem="good", colour=50)
    assert (await pipeline.becomes(good, State.DONE)).outbox
    # Its pictures are kept for whoever fixes the row.
    assert (pipeline.settings.work / bad.id / "cat.png").is_file()
