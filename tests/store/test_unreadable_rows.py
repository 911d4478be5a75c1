"""What cannot be read back never enters the ledger; and one row that cannot be read blinds no list."""

from __future__ import annotations

import logging

import msgspec
import pytest

from tests.fakes.ledger import alter, fill_first_schema, make, poison
from zoetrope.domain import steps
from zoetrope.domain.job import Stage, State
from zoetrope.domain.query import NEWEST, JobQuery
from zoetrope.errors import LedgerError, NotFound
from zoetrope.store.sqlite.ledger import Ledger

# As an earlier version wrote a parameter that was not a number; a torn page; a newer version's state;
# what no decoder can enter; text that is none; and no text at all.
BODIES = [
    b'{"id":"x","ticket":{"recipe":"tiny","parameters":{"cfg":null}}}',
    b'{"id": "x", "crea',
    b'{"state":"resting"}',
    b'{"x":' + b"[" * 50_000,
    b'{"stem": "\xff\xfe"}',
    b"",
    17,
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(file):
    ledger = await Ledger.open(file)
    yield ledger
    await ledger.close()


async def add(ledger, count, state=State.QUEUED, **changes):
    jobs = [make(state, stem=f"cat{number}", **changes) for number in range(count)]
    return [await ledger.add(job, claim=job.id) for job in jobs]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_one_row_blinds_no_list(ledger, file, body, caplog):
    first, bad, last = await add(ledger, 3)
    poison(file, bad, body=body)
    assert [row.job for row in await ledger.page(JobQuery())] == [last, first]
    assert [row.job for row in await ledger.page(JobQuery(text="cat"))] == [last, first]
    assert [row.job for row in await ledger.page(JobQuery(states=(State.QUEUED,)))] == [last, first]
    assert await ledger.all_in(State.QUEUED) == [first, last]
    assert (await ledger.counts())[State.QUEUED] == 3
    assert await ledger.find(first.id[:10]) == first
    for ask in (ledger.get(bad.id), ledger.find(bad.id), ledger.claimed(bad.id)):
        with pytest.raises(LedgerError) as refused:
            await ask
        assert bad.short in refused.value.reason.sentence
        assert refused.value.reason.next_step
    with pytest.raises(LedgerError):
        await ledger.change(bad.id, lambda j: steps.cancel(j, 2.0))
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert bad.short in told[0].getMessage()
    assert told[0].exc_info is None
    assert set(ledger.unreadable) == {bad.id}


async def test_pages_are_whole_however_many_rows_cannot_be_read(ledger, file):
    jobs = await add(ledger, 40)
    good = jobs[::5]
    poison(file, *(job for job in jobs if job not in good))
    seen = []
    before = NEWEST
    while page := await ledger.page(JobQuery(limit=3, before=before)):
        # A short page says that there is no further one.
        assert len(page) == 3 or page[-1].job == good[0]
        seen += [row.job for row in page]
        before = page[-1].seq
    assert seen == good[::-1]
    both = JobQuery(states=(State.QUEUED, State.DONE), limit=100)
    assert [row.job for row in await ledger.page(both)] == good[::-1]


async def test_the_queue_does_not_starve_behind_a_row(ledger, file):
    jobs = await add(ledger, 3)
    poison(file, *jobs[:2])
    assert await ledger.oldest(1.0) == jobs[2]
    assert await ledger.oldest(1.0, without=[jobs[2].id]) is None
    assert [each.id for each in await ledger.waiting(1.0, 1)] == [jobs[2].id]


async def test_a_row_whose_time_has_come_and_that_cannot_be_read_wakes_nobody(ledger, file):
    due, later = await add(ledger, 2, stages=(Stage(name="i2v", not_before=5.0),))
    await ledger.change(
        later.id,
        lambda j: msgspec.structs.replace(j, stages=(Stage(name="i2v", not_before=50.0),)),
    )
    poison(file, due)
    assert await ledger.oldest(10.0) is None
    assert await ledger.soonest() == 50.0


async def test_duplicates_halves_and_publishers_are_found_past_such_a_row(ledger, file):
    one = await add(ledger, 2, State.DONE, fingerprint="f" * 64)
    two = await add(ledger, 1, State.WAITING, folder="loop")
    halves = await add(ledger, 1, State.WAITING, folder="loop")
    alter(file, "INSERT INTO outputs VALUES ('s', ?)", one[1].id)
    poison(file, one[1], two[0])
    assert await ledger.find_duplicate("f" * 64) == one[0]
    assert await ledger.find_half("loop", "cat0") == halves[0]
    assert await ledger.find_publisher("s") is None
    poison(file, one[0], halves[0])
    assert await ledger.find_duplicate("f" * 64) is None
    assert await ledger.find_half("loop", "cat0") is None


async def test_the_last_failures_are_found_past_such_a_row(ledger, file):
    jobs = [(await add(ledger, 1, State.FAILED, updated=float(n)))[0] for n in range(1, 5)]
    poison(file, jobs[3], jobs[1])
    found = await ledger.recent_failures(0.0, 2)
    assert (found.counts[State.FAILED], found.last) == (4, (jobs[2], jobs[0]))


async def test_the_whole_file_s_check_finds_rows_that_nobody_asked_for(ledger, file):
    jobs = await add(ledger, 5, State.DONE)
    poison(file, jobs[1], jobs[3])
    assert await ledger.check() is None
    assert set(ledger.unreadable) == {jobs[1].id, jobs[3].id}


async def test_a_row_that_can_be_read_again_is_not_named_any_more(ledger, file):
    (job,) = await add(ledger, 1)
    poison(file, job)
    assert await ledger.page(JobQuery()) == []
    poison(file, job, body=msgspec.json.encode(job))
    assert await ledger.get(job.id) == job
    assert ledger.unreadable == {}


async def test_a_state_of_a_newer_version_blinds_no_count(ledger, file):
    jobs = await add(ledger, 2)
    alter(file, "UPDATE jobs SET state = 'resting' WHERE id = ?", jobs[0].id)
    assert (await ledger.counts())[State.QUEUED] == 1
    assert await ledger.tally() == {("tiny", State.QUEUED): 1}


async def test_a_ledger_of_an_earlier_schema_is_lifted_in_spite_of_such_a_row(tmp_path):
    job = make(State.DONE, stem="Größe")
    bodies = [(str(number), State.DONE, job.stem, body) for number, body in enumerate(BODIES)]
    good = (job.id, State.DONE, job.stem, msgspec.json.encode(job))
    fill_first_schema(tmp_path / "ledger.db", [*bodies, good])
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert [row.job for row in await ledger.page(JobQuery(text="GRÖSSE"))] == [job]
    assert [row.job for row in await ledger.page(JobQuery())] == [job]
    with pytest.raises(NotFound):
        await ledger.find("zz")
    await ledger.close()
