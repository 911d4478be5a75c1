import asyncio
import sqlite3
import uuid
from contextlib import closing

import msgspec
import pytest

from zoetrope.domain import steps
from zoetrope.domain.job import Job, Progress, Stage, State
from zoetrope.domain.plan import Plan
from zoetrope.domain.query import NEWEST, JobQuery
from zoetrope.domain.values import Ticket
from zoetrope.errors import DiskFull, IllegalTransition, LedgerError, NotFound, Rejected
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.store.sqlite.schema import APPLICATION_ID, MIGRATIONS


def make(state: State = State.QUEUED, **changes) -> Job:
    job = Job(
        id=uuid.uuid4().hex,
        created=1.0,
        updated=1.0,
        state=state,
        stem="cat",
        ticket=Ticket(recipe="tiny", prompt="Жук & co"),
        stages=(Stage(name="i2v"),),
    )
    return msgspec.structs.replace(job, **changes)


@pytest.fixture
async def ledger(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    yield ledger
    await ledger.close()


async def test_a_job_survives_closing_and_opening(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    job = await ledger.add(make(), claim="c1")
    await ledger.close()
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert await ledger.get(job.id) == job
    await ledger.close()


async def test_every_commit_is_synchronous_and_in_wal(ledger):
    def pragmas():
        return [
            ledger._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode")
        ]

    assert await ledger._run(pragmas) == [2, "wal"]


async def test_the_same_claim_gives_the_job_of_the_first_time(ledger):
    first = await ledger.add(make(), claim="c1")
    assert await ledger.add(make(), claim="c1") == first
    assert (await ledger.counts())[State.QUEUED] == 1
    assert await ledger.claimed("c1") == first
    assert await ledger.claimed("c2") is None


async def test_a_change_can_take_a_second_claim_in_the_same_step(ledger):
    job = await ledger.add(make(State.WAITING, half="start"), claim="c1")
    await ledger.change(job.id, lambda j: steps.complete_pair(j, 2.0, stills=()), claim="c2")
    found = await ledger.claimed("c2")
    assert found is not None
    assert (found.id, found.state) == (job.id, State.QUEUED)


async def test_an_illegal_step_changes_nothing(ledger):
    job = await ledger.add(make(State.DONE), claim="c1")
    with pytest.raises(IllegalTransition):
        await ledger.change(job.id, lambda j: steps.approve(j, 2.0), claim="c2")
    assert await ledger.get(job.id) == job
    assert await ledger.claimed("c2") is None


async def test_steps_taken_at_once_do_not_lose_each_other(ledger):
    job = await ledger.add(make(), claim="c1")

    def grow(j: Job) -> Job:
        return msgspec.structs.replace(j, stem=j.stem + "x")

    await asyncio.gather(*(ledger.change(job.id, grow) for _ in range(50)))
    assert (await ledger.get(job.id)).stem == "cat" + "x" * 50


async def test_listeners_hear_of_what_was_written_and_of_nothing_else(ledger):
    heard: list[tuple[str, State]] = []
    ledger.on_change(lambda _, job: heard.append((job.id, job.state)))
    job = await ledger.add(make(), claim="c1")
    await ledger.add(make(), claim="c1")
    await ledger.change(job.id, lambda j: j)
    await ledger.change(job.id, lambda j: steps.cancel(j, 2.0))
    assert heard == [(job.id, State.QUEUED), (job.id, State.CANCELLED)]


async def test_the_next_job_is_the_oldest_whose_time_has_come(ledger):
    late = make(stages=(Stage(name="i2v", not_before=100.0),))
    jobs = [await ledger.add(j, claim=j.id) for j in (late, make(), make(), make(State.DONE))]
    assert await ledger.next(50.0) == jobs[1]
    assert await ledger.next(50.0, without=[jobs[1].id]) == jobs[2]
    assert await ledger.next(50.0, without=[jobs[1].id, jobs[2].id]) is None
    assert await ledger.next(100.0) == jobs[0]
    assert await ledger.soonest() == 100.0


async def test_waiting_jobs_come_by_priority_and_then_as_they_arrived(ledger):
    late = make(stages=(Stage(name="i2v", not_before=100.0),))
    low, high, first, second = make(priority=-5), make(priority=3), make(), make()
    for job in (low, first, late, high, second, make(State.DONE, priority=9)):
        await ledger.add(job, claim=job.id)
    due = await ledger.waiting(50.0, 10)
    assert [each.id for each in due] == [high.id, first.id, second.id, low.id]
    assert await ledger.waiting(50.0, 3) == due[:3]
    assert await ledger.waiting(50.0, 3, after=due[2]) == due[3:]
    assert len(await ledger.waiting(100.0, 10)) == 5


async def test_a_waiting_job_tells_what_its_turn_is_decided_by(ledger):
    stages = (Stage(name="i2v", state=Progress.DONE), Stage(name="upscale", not_before=7.0))
    job = make(stages=stages, created=5.0, priority=2, plan=Plan(memory=24))
    await ledger.add(job, claim="c")
    (found,) = await ledger.waiting(7.0, 1)
    assert (found.id, found.created, found.priority) == (job.id, 5.0, 2)
    assert (found.recipe, found.stage, found.memory) == ("tiny", "upscale", 24)
    assert found.not_before == 7.0


async def test_a_priority_that_changes_moves_the_job(ledger):
    jobs = [await ledger.add(make(), claim=str(number)) for number in range(3)]
    await ledger.change(jobs[2].id, lambda j: msgspec.structs.replace(j, priority=1))
    assert [each.id for each in await ledger.waiting(1.0, 2)] == [jobs[2].id, jobs[0].id]


@pytest.mark.parametrize("priority", [1_000_001, -1_000_001, 2**64])
async def test_a_priority_that_nothing_can_order_by_is_refused(ledger, priority):
    with pytest.raises(Rejected):
        await ledger.add(make(priority=priority), claim="c")


async def test_twins_are_found_unless_they_came_to_nothing(ledger):
    for state in (State.FAILED, State.CANCELLED, State.REJECTED):
        job = make(state, fingerprint="f" * 64)
        await ledger.add(job, claim=job.id)
        assert await ledger.find_duplicate("f" * 64) is None
    job = await ledger.add(make(State.DONE, fingerprint="f" * 64), claim="good")
    assert await ledger.find_duplicate("f" * 64) == job
    assert await ledger.find_duplicate("") is None


async def test_a_waiting_half_is_found_by_folder_and_stem(ledger):
    job = await ledger.add(make(State.WAITING, folder="flf", stem="cat"), claim="c1")
    assert await ledger.find_half("flf", "cat") == job
    assert await ledger.find_half("", "cat") is None


async def test_pages_walk_all_jobs_newest_first_without_gaps(ledger):
    jobs = [make(State.DONE if i % 3 else State.FAILED, stem=f"cat{i}") for i in range(25)]
    for job in jobs:
        await ledger.add(job, claim=job.id)
    seen: list[str] = []
    before = NEWEST
    while page := await ledger.page(JobQuery(limit=7, before=before)):
        seen += [row.job.stem for row in page]
        before = page[-1].seq
    assert seen == [f"cat{i}" for i in reversed(range(25))]
    failed = await ledger.page(JobQuery(states=(State.FAILED, State.CANCELLED), limit=100))
    assert [row.job.stem for row in failed] == [f"cat{i}" for i in reversed(range(0, 25, 3))]


async def test_counts_follow_every_change(ledger):
    jobs = [await ledger.add(make(), claim=str(i)) for i in range(3)]
    await ledger.change(jobs[0].id, lambda j: steps.cancel(j, 2.0))
    counts = await ledger.counts()
    assert (counts[State.QUEUED], counts[State.CANCELLED], counts[State.DONE]) == (2, 1, 0)


async def test_the_tally_knows_recipe_and_state_and_follows_both(ledger):
    jobs = [await ledger.add(make(), claim=str(i)) for i in range(3)]
    recipe = jobs[0].ticket.recipe
    await ledger.change(jobs[0].id, lambda j: steps.cancel(j, 2.0))
    other = msgspec.structs.replace(jobs[1].ticket, recipe="other")
    await ledger.change(jobs[1].id, lambda j: msgspec.structs.replace(j, ticket=other))
    assert {key: number for key, number in (await ledger.tally()).items() if number} == {
        (recipe, State.CANCELLED): 1,
        ("other", State.QUEUED): 1,
        (recipe, State.QUEUED): 1,
    }


async def test_a_witness_hears_what_a_job_was_before(ledger):
    heard = []
    ledger.on_change(lambda before, after: heard.append((before, after)))
    new = await ledger.add(make(), claim="1")
    await ledger.add(make(), claim="1")
    await ledger.change(new.id, lambda j: j)
    ended = await ledger.change(new.id, lambda j: steps.cancel(j, 2.0))
    assert heard == [(None, new), (new, ended)]


async def test_a_job_is_found_by_the_beginning_of_its_id(ledger):
    one = await ledger.add(make(id="aa11" + "0" * 28), claim="1")
    await ledger.add(make(id="aa22" + "0" * 28), claim="2")
    assert await ledger.find("aa1") == one
    for prefix in ("aa", "zz", ""):
        with pytest.raises(NotFound):
            await ledger.find(prefix)


async def test_rungs_and_facts_are_remembered(tmp_path):
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert await ledger.rung("r", "s", "64x64x5", "card") == ()
    await ledger.remember_rung("r", "s", "64x64x5", "card", ("tiled", "batch-5"))
    assert await ledger.fact("id", lambda: "one") == "one"
    await ledger.close()
    ledger = await Ledger.open(tmp_path / "ledger.db")
    assert await ledger.rung("r", "s", "64x64x5", "card") == ("tiled", "batch-5")
    assert await ledger.rung("r", "s", "64x64x9", "card") == ()
    assert await ledger.fact("id", lambda: "two") == "one"
    await ledger.close()


async def test_published_bytes_are_known_as_our_own(ledger):
    job = make(State.RUNNING, stages=())
    await ledger.add(job, claim="c")
    await ledger.publish(job.id, lambda j: steps.publish(j, 2.0, "cat-1"), ["1" * 64])
    maker = await ledger.find_publisher("1" * 64)
    assert maker is not None
    assert maker.id == job.id
    assert await ledger.find_publisher("2" * 64) is None


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
    assert "copy" in caught.value.reason.next_step
    assert file.read_bytes() == content


async def test_a_page_torn_in_the_middle_is_found_by_the_check(tmp_path):
    file = tmp_path / "ledger.db"
    ledger = await Ledger.open(file)
    for i in range(300):
        await ledger.add(make(), claim=str(i))
    await ledger._run(lambda: ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    assert await ledger.check() is None
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\x5a" * 4096
    file.write_bytes(data)
    assert await ledger.check() is not None
    await ledger.close()


async def test_a_ledger_of_an_earlier_schema_is_lifted_and_its_jobs_are_found(tmp_path):
    job = make(State.DONE, stem="Größe")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.executescript(
            f"{MIGRATIONS[0]} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        )
        row = (job.id, "done", "", job.stem, "r", "", 0.0, 0.0, msgspec.json.encode(job))
        columns = "id, state, folder, stem, recipe, fingerprint, not_before, updated, body"
        db.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.commit()
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


async def test_a_full_disk_is_told_apart_and_nothing_is_half_written(ledger):
    job = await ledger.add(make(), claim="c1")
    # SQLite's own limit stands in for the disk's: the same error comes from the same place.
    await ledger._run(
        lambda: ledger._db.execute(
            f"PRAGMA max_page_count = {ledger._db.execute('PRAGMA page_count').fetchone()[0]}"
        ).fetchone()
    )
    big = Ticket(recipe="tiny", prompt="x" * 100_000)
    with pytest.raises(DiskFull):
        await ledger.change(job.id, lambda j: msgspec.structs.replace(j, ticket=big))
    assert await ledger.get(job.id) == job
    await ledger._run(lambda: ledger._db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await ledger.change(job.id, lambda j: msgspec.structs.replace(j, ticket=big))


async def test_a_request_that_goes_away_does_not_stop_the_write(ledger):
    job = await ledger.add(make(), claim="c1")
    task = asyncio.ensure_future(ledger.change(job.id, lambda j: steps.cancel(j, 2.0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ledger.get(job.id)).state is State.CANCELLED


async def test_the_ping_writes_and_the_lists_stay_small(ledger):
    assert await ledger.ping() >= 0.0
    assert await ledger.all_in(State.QUEUED) == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, body FROM jobs WHERE state = 'queued' AND not_before <= 1 ORDER BY seq LIMIT 1",
        "SELECT seq FROM jobs INDEXED BY jobs_in_line WHERE state = 'queued' AND rank > 0 ORDER BY rank, seq",
        "SELECT id, body FROM jobs WHERE state = 'waiting' AND folder = 'f' ORDER BY seq",
        "SELECT seq, id, body FROM jobs WHERE state = 'done' AND seq < 9 ORDER BY seq DESC LIMIT 5",
        "SELECT id, body FROM jobs WHERE id >= 'a' AND id < 'ag' LIMIT 2",
        "SELECT id, body FROM jobs WHERE fingerprint = 'f' AND fingerprint <> '' ORDER BY seq DESC",
        "SELECT jobs.id, body FROM claims JOIN jobs ON jobs.id = claims.job WHERE claims.id = 'c'",
        "SELECT id, body FROM outputs JOIN jobs ON jobs.id = outputs.job WHERE sha256 = 's'",
    ],
)
async def test_questions_walk_an_index_and_sort_nothing(ledger, query):
    plan = await ledger._run(lambda: ledger._db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
    told = " | ".join(row[3] for row in plan)
    assert "SCAN" not in told, told
    assert "TEMP B-TREE" not in told, told


def of(version: str, state: State = State.DONE) -> Job:
    return make(state, recipe_version=version)


async def test_a_version_is_referenced_by_any_job_ended_ones_included(ledger, monkeypatch):
    monkeypatch.setattr("zoetrope.store.sqlite.index._WALK", 3)
    for number, state in enumerate(State):
        await ledger.add(of(f"v{number}", state), claim=f"c{number}")
    await ledger.add(make(), claim="without")
    wanted = {f"v{number}" for number in range(len(State))}
    assert await ledger.referenced({*wanted, "nobody's"}) == wanted
    assert await ledger.referenced(["v0"]) == {"v0"}
    assert await ledger.referenced([]) == set()


async def test_while_a_row_is_damaged_every_version_counts_as_referenced(ledger):
    await ledger.add(of("v0"), claim="c0")
    spoilt = await ledger.add(of("v1"), claim="c1")
    write = "UPDATE jobs SET body = ? WHERE id = ?"
    await ledger._run(lambda: ledger._db.execute(write, (b"{", spoilt.id)) and ledger._db.commit())
    assert await ledger.referenced({"v1", "v2"}) == {"v1", "v2"}
