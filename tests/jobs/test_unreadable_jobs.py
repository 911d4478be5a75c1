"""A row that cannot be read, beside jobs that run."""

import sqlite3
from contextlib import closing

from tests.store.test_unreadable_rows import BODY
from zoetrope.domain.job import State


async def test_the_conductor_starts_and_works_beside_a_row_that_cannot_be_read(street):
    bad = await street.drop(stem="bad")
    await street.stop()
    with closing(sqlite3.connect(street.settings.ledger_file)) as db:
        db.execute("UPDATE jobs SET state = 'queued', body = ? WHERE id = ?", (BODY, bad.id))
        db.commit()
    await street.start()
    good = await street.drop(stem="good", colour=50)
    assert (await street.becomes(good, State.DONE)).outbox
    # Its pictures are kept for whoever mends the row.
    assert (street.settings.work / bad.id / "cat.png").is_file()
