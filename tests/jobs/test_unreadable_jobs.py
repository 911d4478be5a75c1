"""A row that cannot be read, beside jobs that run."""

from tests.fakes.ledger import poison
from zoetrope.domain.job import State


async def test_the_conductor_starts_and_works_beside_a_row_that_cannot_be_read(street):
    bad = await street.drop(stem="bad")
    await street.stop()
    poison(street.settings.ledger_file, bad)
    await street.start()
    good = await street.drop(stem="good", colour=50)
    assert (await street.becomes(good, State.DONE)).outbox
    # Its pictures are kept for whoever fixes the row.
    assert (street.settings.work / bad.id / "cat.png").is_file()
