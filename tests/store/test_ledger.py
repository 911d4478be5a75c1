"""What the SQLite form does beyond the contract: it lasts, and says what ails its file."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import msgspec
import pytest

from tests.fakes.ledger import fill_first_schema, make, poison
from zoetrope.domain import steps
from zoetrope.domain.job import State
from zoetrope.domain.query import JobQuery
from zoetrope.domain.values import Ticket
from zoetrope.errors import DiskFull, LedgerError, NotFound
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.store.sqlite.schema import MIGRATIONS, open_file


@pytest.fixture
def connection(tmp_path):
    """The connection of `ledger`, which is idle between two answers."""
    connection, lock = open_file(tmp_path / "ledger.db")
    with lock, closing(connection):
        yield connection


@pytest.fixture
async def ledger(tmp_path, connection):
    with (tmp_path / "ledger.lock").open() as lock:
        ledger = Ledger(connection, lock, ThreadPoolExecutor(max_workers=1))
        yield ledger
        await ledger.close()


async def test_a_job_survives_closing_and_opening(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    job = await ledger.add(make(), claim="c1")
    await ledger.close()
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert await ledger.get(job.id) == job
    await ledger.close()


async def test_every_commit_is_synchronous_and_in_wal(connection):
    found = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode")
    ]
    assert found == [2, "wal"]


async def test_rungs_facts_and_publishers_survive_closing_and_opening(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    job = await ledger.add(make(State.RUNNING, stages=()), claim="c")
    await ledger.publish(job.id, lambda j: steps.publish(j, 2.0, "cat-1"), ["1" * 64])
    await ledger.remember_fallbacks("r", "s", "64x64x5", "card", ("tiled", "batch-5"))
    assert await ledger.fact("id", lambda: "one") == "one"
    await ledger.close()
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert await ledger.known_fallbacks("r", "s", "64x64x5", "card") == ("tiled", "batch-5")
    assert await ledger.fact("id", lambda: "two") == "one"
    assert (await ledger.find_publisher("1" * 64)).outbox == "cat-1"
    await ledger.close()


async def test_a_second_service_is_refused(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match="Another zoetrope"):
        await Ledger.open(tmp_path / "ledger.db")
    await ledger.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
async def test_a_damaged_file_is_named_and_left_alone(tmp_path, content):
    file = tmp_path / "ledger.db"
    file.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged or is not a ledger") as caught:
        await Ledger.open(file)
    assert "restore a backup" in caught.value.reason.next_step
    assert file.read_bytes() == content


async def test_a_page_torn_in_the_middle_is_found_by_the_check(tmp_path):
    file = tmp_path / "ledger.db"
    ledger = await Ledger.open(file)
    for i in range(300):
        await ledger.add(make(), claim=str(i))
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert await ledger.check() is None
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\x5a" * 4096
    file.write_bytes(data)
    assert await ledger.check() is not None
    await ledger.close()


async def test_a_ledger_of_an_earlier_schema_is_lifted_and_its_jobs_are_found(tmp_path):
    job = make(State.DONE, stem="Größe")
    row = (job.id, job.state, job.stem, msgspec.json.encode(job))
    fill_first_schema(tmp_path / "ledger.db", [row])
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert [row.job for row in await ledger.page(JobQuery(text="GRÖSSE"))] == [job]
    assert await ledger.tally() == {("r", State.DONE): 1}
    await ledger.close()


async def test_a_newer_schema_is_refused(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    await ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(LedgerError, match="newer zoetrope"):
        await Ledger.open(tmp_path / "ledger.db")


async def test_another_programs_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("CREATE TABLE songs (name TEXT)")
    db.close()
    with pytest.raises(LedgerError, match="some other program"):
        await Ledger.open(tmp_path / "ledger.db")


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be used"):
        await Ledger.open(tmp_path / "file" / "ledger.db")


async def test_a_full_disk_is_told_apart_and_nothing_is_half_written(ledger, connection):
    job = await ledger.add(make(), claim="c1")
    # SQLite's own limit stands in for the disk's: the same error comes from the same place.
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    big = Ticket(recipe="tiny", prompt="x" * 100_000)
    with pytest.raises(DiskFull):
        await ledger.change(job.id, lambda j: msgspec.structs.replace(j, ticket=big))
    assert await ledger.get(job.id) == job
    connection.execute("PRAGMA max_page_count = 1000000").fetchone()
    await ledger.change(job.id, lambda j: msgspec.structs.replace(j, ticket=big))


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: ledger.get("a"),
        lambda ledger: ledger.find("a"),
        lambda ledger: ledger.claimed("c"),
        lambda ledger: ledger.oldest(1.0, without=["a"]),
        lambda ledger: ledger.waiting(1.0, 5),
        lambda ledger: ledger.soonest(),
        lambda ledger: ledger.find_duplicate("f"),
        lambda ledger: ledger.find_half("f", "cat"),
        lambda ledger: ledger.find_publisher("s"),
        lambda ledger: ledger.page(JobQuery(before=9, limit=5)),
        lambda ledger: ledger.page(JobQuery(before=9, recipe="r")),
        lambda ledger: ledger.page(JobQuery(states=(State.DONE,))),
        lambda ledger: ledger.page(JobQuery(states=(State.DONE,), recipe="r")),
        lambda ledger: ledger.recent_failures(0.0, 3),
        lambda ledger: ledger.known_fallbacks("r", "s", "1x1", "card"),
    ],
)
async def test_questions_walk_an_index_and_sort_nothing(ledger, connection, ask):
    await ledger.add(make(), claim="c")
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    with suppress(NotFound):
        await ask(ledger)
    connection.set_trace_callback(None)
    told = [
        row[3]
        for query in asked
        if query.startswith("SELECT")
        for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")
    ]
    assert told
    # What is left out is a list of this very question; and of each state's walk no more than a page is merged.
    scans = [line for line in told if "SCAN" in line and "json_each" not in line]
    assert all("subquery" in line for line in scans), told
    assert "TEMP B-TREE" not in " ".join(told) or any("CO-ROUTINE" in line for line in told), told


async def test_while_a_row_is_damaged_every_version_counts_as_referenced(ledger, tmp_path):
    await ledger.add(make(recipe_version="v0"), claim="c0")
    poison(tmp_path / "ledger.db", await ledger.add(make(recipe_version="v1"), claim="c1"))
    assert await ledger.referenced({"v1", "v2"}) == {"v1", "v2"}
