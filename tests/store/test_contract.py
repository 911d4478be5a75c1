"""Every form of the store keeps the promises of its protocol, and the forms give the same answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from tests.fakes.ledger import make
from zoetrope.domain import steps
from zoetrope.domain.job import Attempt, Job, Progress, Stage, State
from zoetrope.domain.plan import Plan
from zoetrope.domain.query import NEWEST, JobQuery
from zoetrope.domain.values import SourceImage, Ticket
from zoetrope.errors import IllegalTransition, LedgerError, NotFound, Rejected
from zoetrope.store.memory import MemoryLedger
from zoetrope.store.protocol import JobStore
from zoetrope.store.sqlite.ledger import Ledger

FORMS = ("sqlite", "memory")


@pytest.fixture(params=FORMS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    form = MemoryLedger() if request.param == "memory" else await Ledger.open(tmp_path / "l.db")
    yield form
    await form.close()


async def test_the_same_claim_gives_the_job_of_the_first_time(store):
    first = await store.add(make(), claim="c1")
    assert await store.add(make(), claim="c1") == first
    assert (await store.counts())[State.QUEUED] == 1
    assert await store.claimed("c1") == first
    assert await store.claimed("c2") is None


async def test_other_claims_are_written_with_the_job_and_take_none_from_an_earlier_one(store):
    first = await store.add(make(), claim="c1", others=["k1", "k2"])
    assert await store.claimed("k1") == await store.claimed("k2") == first
    second = await store.add(make(), claim="c2", others=["k2", "k3"])
    assert await store.claimed("k2") == first
    assert await store.claimed("k3") == second
    # Of a job that is there already, too: a crash may have come before they were known.
    assert await store.add(make(), claim="c1", others=["k4"]) == first
    assert await store.claimed("k4") == first
    with pytest.raises(LedgerError):
        await store.add(first, claim="c3", others=["k5"])
    assert await store.claimed("k5") is None


async def test_a_change_can_take_a_second_claim_in_the_same_step(store):
    job = await store.add(make(State.WAITING, half="start"), claim="c1")
    await store.change(job.id, lambda j: steps.complete_pair(j, 2.0, images=()), claim="c2")
    found = await store.claimed("c2")
    assert found is not None
    assert (found.id, found.state) == (job.id, State.QUEUED)


async def test_an_illegal_step_changes_nothing(store):
    job = await store.add(make(State.DONE), claim="c1")
    with pytest.raises(IllegalTransition):
        await store.change(job.id, lambda j: steps.approve(j, 2.0), claim="c2")
    assert await store.get(job.id) == job
    assert await store.claimed("c2") is None


async def test_steps_taken_at_once_do_not_lose_each_other(store):
    job = await store.add(make(), claim="c1")

    def grow(j: Job) -> Job:
        return msgspec.structs.replace(j, stem=j.stem + "x")

    await asyncio.gather(*(store.change(job.id, grow) for _ in range(50)))
    assert (await store.get(job.id)).stem == "cat" + "x" * 50


async def test_listeners_hear_of_what_was_written_and_of_nothing_else(store):
    heard: list[tuple[str, State]] = []
    store.on_change(lambda _, job: heard.append((job.id, job.state)))
    job = await store.add(make(), claim="c1")
    await store.add(make(), claim="c1")
    await store.change(job.id, lambda j: j)
    await store.change(job.id, lambda j: steps.cancel(j, 2.0))
    assert heard == [(job.id, State.QUEUED), (job.id, State.CANCELLED)]


async def test_the_oldest_job_is_the_first_to_arrive_of_those_whose_time_has_come(store):
    late = make(stages=(Stage(name="i2v", not_before=100.0),))
    jobs = [await store.add(j, claim=j.id) for j in (late, make(), make(), make(State.DONE))]
    assert await store.oldest(50.0) == jobs[1]
    assert await store.oldest(50.0, without=[jobs[1].id]) == jobs[2]
    assert await store.oldest(50.0, without=[jobs[1].id, jobs[2].id]) is None
    assert await store.oldest(100.0) == jobs[0]
    assert await store.soonest() == 100.0


async def test_a_job_that_was_postponed_by_a_clock_far_ahead_waits_no_years_once_it_is_right(store):
    now = 1_800_000_000.0
    years = now + 50 * 365 * 86_400.0
    ahead = await store.add(make(stages=(Stage(name="i2v", not_before=years + 60.0),)), claim="a")
    soon = await store.add(make(stages=(Stage(name="i2v", not_before=now + 60.0),)), claim="b")
    assert await store.oldest(now) == ahead
    assert [each.id for each in await store.waiting(now, 10)] == [ahead.id]
    assert {each.id for each in await store.waiting(now + 60.0, 10)} == {ahead.id, soon.id}
    assert [each.id for each in await store.waiting(years, 10)] == [soon.id]


async def test_waiting_jobs_come_by_priority_and_then_as_they_arrived(store):
    late = make(stages=(Stage(name="i2v", not_before=100.0),))
    low, high, first, second = make(priority=-5), make(priority=3), make(), make()
    for job in (low, first, late, high, second, make(State.DONE, priority=9)):
        await store.add(job, claim=job.id)
    due = await store.waiting(50.0, 10)
    assert [each.id for each in due] == [high.id, first.id, second.id, low.id]
    assert await store.waiting(50.0, 3) == due[:3]
    assert await store.waiting(50.0, 3, after=due[2]) == due[3:]
    assert len(await store.waiting(100.0, 10)) == 5


async def test_a_waiting_job_tells_what_its_turn_is_decided_by(store):
    ran = Attempt(
        number=1, prompt_id="p", engine="e0", state=Progress.DONE, memory=23.5, started=1.0
    )
    first = Stage(name="i2v", state=Progress.DONE, attempts=(ran,))
    stages = (first, Stage(name="upscale", not_before=7.0))
    job = make(stages=stages, created=5.0, priority=2, plan=Plan(memory=24))
    await store.add(job, claim="c")
    (found,) = await store.waiting(7.0, 1)
    assert (found.id, found.created, found.priority) == (job.id, 5.0, 2)
    assert (found.recipe, found.stage, found.memory) == ("tiny", "upscale", 24)
    assert (found.ran_on, found.not_before) == (23.5, 7.0)


async def test_a_priority_that_changes_moves_the_job(store):
    jobs = [await store.add(make(), claim=str(number)) for number in range(3)]
    await store.change(jobs[2].id, lambda j: msgspec.structs.replace(j, priority=1))
    assert [each.id for each in await store.waiting(1.0, 2)] == [jobs[2].id, jobs[0].id]


@pytest.mark.parametrize("priority", [1_000_001, -1_000_001, 2**64])
async def test_a_priority_that_nothing_can_order_by_is_refused(store, priority):
    with pytest.raises(Rejected):
        await store.add(make(priority=priority), claim="c")


async def test_duplicates_are_found_unless_they_came_to_nothing(store):
    for state in (State.FAILED, State.CANCELLED, State.REJECTED):
        job = make(state, fingerprint="f" * 64)
        await store.add(job, claim=job.id)
        assert await store.find_duplicate("f" * 64) is None
    job = await store.add(make(State.DONE, fingerprint="f" * 64), claim="good")
    assert await store.find_duplicate("f" * 64) == job
    assert await store.find_duplicate("") is None


async def test_a_waiting_half_is_found_by_folder_and_stem(store):
    job = await store.add(make(State.WAITING, folder="flf", stem="cat"), claim="c1")
    assert await store.find_half("flf", "cat") == job
    assert await store.find_half("", "cat") is None


async def test_pages_walk_all_jobs_newest_first_without_gaps(store):
    jobs = [make(State.DONE if i % 3 else State.FAILED, stem=f"cat{i}") for i in range(25)]
    for job in jobs:
        await store.add(job, claim=job.id)
    seen: list[str] = []
    before = NEWEST
    while page := await store.page(JobQuery(limit=7, before=before)):
        seen += [row.job.stem for row in page]
        before = page[-1].seq
    assert seen == [f"cat{i}" for i in reversed(range(25))]
    failed = await store.page(JobQuery(states=(State.FAILED, State.CANCELLED), limit=100))
    assert [row.job.stem for row in failed] == [f"cat{i}" for i in reversed(range(0, 25, 3))]


async def test_counts_follow_every_change(store):
    jobs = [await store.add(make(), claim=str(i)) for i in range(3)]
    await store.change(jobs[0].id, lambda j: steps.cancel(j, 2.0))
    counts = await store.counts()
    assert (counts[State.QUEUED], counts[State.CANCELLED], counts[State.DONE]) == (2, 1, 0)


async def test_the_tally_knows_recipe_and_state_and_follows_both(store):
    jobs = [await store.add(make(), claim=str(i)) for i in range(3)]
    recipe = jobs[0].ticket.recipe
    await store.change(jobs[0].id, lambda j: steps.cancel(j, 2.0))
    other = msgspec.structs.replace(jobs[1].ticket, recipe="other")
    await store.change(jobs[1].id, lambda j: msgspec.structs.replace(j, ticket=other))
    assert {key: number for key, number in (await store.tally()).items() if number} == {
        (recipe, State.CANCELLED): 1,
        ("other", State.QUEUED): 1,
        (recipe, State.QUEUED): 1,
    }


async def test_recent_failures_are_those_that_ended_of_late_whenever_they_arrived(store):
    late = await store.add(make(), claim="late")
    old = await store.add(make(State.FAILED, updated=10.0), claim="old")
    doors = [
        await store.add(make(State.REJECTED, updated=50.0 + n), claim=str(n)) for n in range(9)
    ]
    for state in (State.DONE, State.CANCELLED, State.QUEUED):
        await store.add(make(state, updated=99.0), claim=state)
    late = await store.change(
        late.id, lambda j: msgspec.structs.replace(j, state=State.FAILED, updated=60.0)
    )
    found = await store.recent_failures(10.0, 3)
    assert found.counts == {State.FAILED: 1, State.REJECTED: 9}
    assert found.last == (late, doors[-1], doors[-2])
    assert (await store.recent_failures(9.0, 50)).last[-1] == old
    assert (await store.recent_failures(9.0, 0)).last == ()
    none = await store.recent_failures(60.0, 3)
    assert (none.counts, none.last) == ({State.FAILED: 0, State.REJECTED: 0}, ())
    # Tried again, it is no failure any more.
    await store.change(
        late.id, lambda j: msgspec.structs.replace(j, state=State.QUEUED, updated=61.0)
    )
    assert (await store.recent_failures(10.0, 1)).counts[State.FAILED] == 0


async def test_a_listener_hears_what_a_job_was_before(store):
    heard = []
    store.on_change(lambda before, after: heard.append((before, after)))
    new = await store.add(make(), claim="1")
    await store.add(make(), claim="1")
    await store.change(new.id, lambda j: j)
    ended = await store.change(new.id, lambda j: steps.cancel(j, 2.0))
    assert heard == [(None, new), (new, ended)]


async def test_a_job_is_found_by_the_beginning_of_its_id(store):
    one = await store.add(make(id="aa11" + "0" * 28), claim="1")
    await store.add(make(id="aa22" + "0" * 28), claim="2")
    assert await store.find("aa1") == one
    for prefix in ("aa", "zz", ""):
        with pytest.raises(NotFound):
            await store.find(prefix)


async def test_published_bytes_are_known_as_our_own(store):
    job = make(State.RUNNING, stages=())
    await store.add(job, claim="c")
    await store.publish(job.id, lambda j: steps.publish(j, 2.0, "cat-1"), ["1" * 64])
    maker = await store.find_publisher("1" * 64)
    assert maker is not None
    assert maker.id == job.id
    assert await store.find_publisher("2" * 64) is None


async def test_a_request_that_goes_away_does_not_stop_the_write(store):
    job = await store.add(make(), claim="c1")
    task = asyncio.ensure_future(store.change(job.id, lambda j: steps.cancel(j, 2.0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.get(job.id)).state is State.CANCELLED


async def test_the_ping_writes_and_the_lists_stay_small(store):
    assert await store.ping() >= 0.0
    assert await store.all_in(State.QUEUED) == []


def replaced(**changes: object) -> Callable[[Job], Job]:
    return lambda job: msgspec.structs.replace(job, **changes)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["parameter", "seconds", "attempt", "created"])
async def test_a_value_that_would_not_be_read_back_is_not_written(store, value, place):
    await refuses(
        store,
        {
            "parameter": {"ticket": Ticket(recipe="tiny", parameters={"cfg": value})},
            "seconds": {"ticket": Ticket(recipe="tiny", seconds=value)},
            "attempt": {"stages": (Stage(name="i2v", not_before=value),)},
            "created": {"created": value},
        }[place],
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"stem": "\ud800"},
        {"notes": ["a list"]},
        {"state": "resting"},
        {"priority": 2**40},
        {"seed": "7"},
    ],
    ids=str,
)
async def test_what_is_no_job_is_not_written(store, changes):
    await refuses(store, changes)


async def refuses(store: JobStore, changes: dict[str, object]) -> None:
    job = await store.add(make(), claim="c1")
    writes = store.writes
    with pytest.raises(Rejected) as refused:
        await store.add(make(**changes), claim="c2")
    assert refused.value.reason.next_step
    with pytest.raises(Rejected):
        await store.change(job.id, replaced(**changes), claim="c3")
    with pytest.raises(Rejected):
        await store.publish(job.id, replaced(**changes), ["1" * 64])
    assert await store.get(job.id) == job
    assert await store.claimed("c2") is None
    assert await store.claimed("c3") is None
    assert await store.find_publisher("1" * 64) is None
    assert len(await store.page(JobQuery())) == 1
    assert store.writes == writes


async def test_whoever_changes_what_was_given_back_changes_no_other_answer(store):
    given = make(ticket=Ticket(recipe="tiny", parameters={"steps": 5}))
    await store.add(given, claim="c1")
    for ask in (
        store.get(given.id),
        store.find(given.short),
        store.claimed("c1"),
        store.oldest(1.0),
        store.change(given.id, lambda job: job),
    ):
        job = await ask
        assert job == make(id=given.id, ticket=Ticket(recipe="tiny", parameters={"steps": 5}))
        job.ticket.parameters["steps"] = 6
    (row,) = await store.page(JobQuery())
    row.job.ticket.parameters["steps"] = 6
    assert (await store.get(given.id)).ticket.parameters == {"steps": 5}


async def test_a_step_may_not_make_another_job_of_it(store):
    job, other = [await store.add(make(), claim=str(number)) for number in range(2)]
    with pytest.raises(Rejected):
        await store.change(job.id, replaced(id=other.id, stem="dog"))
    assert await store.get(job.id) == job
    assert await store.get(other.id) == other


async def test_one_id_is_added_once(store):
    job = await store.add(make(), claim="c1")
    with pytest.raises(LedgerError):
        await store.add(make(id=job.id, stem="dog"), claim="c2")
    assert await store.get(job.id) == job
    assert await store.claimed("c2") is None


async def test_a_job_that_is_not_there_is_not_found(store):
    for ask in (
        store.get("0" * 32),
        store.find("0"),
        store.change("0" * 32, lambda job: job, claim="c"),
        store.publish("0" * 32, lambda job: job, ["1" * 64]),
    ):
        with pytest.raises(NotFound):
            await ask
    assert await store.claimed("c") is None


async def test_what_was_written_is_reported_even_if_whoever_asked_has_gone(store):
    job = await store.add(make(), claim="c1")
    heard = []
    store.on_change(lambda before, after: heard.append((before.state, after.state)))
    writes = store.writes
    task = asyncio.ensure_future(store.change(job.id, lambda j: steps.cancel(j, 2.0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.get(job.id)).state is State.CANCELLED
    assert heard == [(State.QUEUED, State.CANCELLED)]
    assert store.writes == writes + 1


async def test_each_word_is_looked_for_in_id_names_and_prompt_in_any_case(store):
    image = SourceImage(
        name="Straße.png", sha256="1", size=1, format="PNG", width=1, height=1, source="a", file="a"
    )
    one = make(stem="GRÖSSE", images=(image,), ticket=Ticket(recipe="r", prompt="Жук & co"))
    two = make(folder="Zoo", ticket=Ticket(recipe="r", name="Night %_ Day", prompt="a zoom"))
    for job in (one, two):
        await store.add(job, claim=job.id)

    async def found(text: str) -> list[str]:
        return [row.job.id for row in await store.page(JobQuery(text=text))]

    for text in ("größe", "STRASSE", "жУК", one.id.upper(), "ss .png", "  & co "):
        assert await found(text) == [one.id], text
    for text in ("zoo", "night day", "%_", "zoom"):
        assert await found(text) == [two.id], text
    assert await found("größe zoo") == []
    await store.change(two.id, replaced(folder="GRÖSSE"))
    assert await found("größe") == [two.id, one.id]


async def test_rungs_and_facts_are_remembered(store):
    assert await store.known_fallbacks("r", "s", "64x64x5", "card") == ()
    await store.remember_fallbacks("r", "s", "64x64x5", "card", ("tiled", "batch-5"))
    assert await store.known_fallbacks("r", "s", "64x64x5", "card") == ("tiled", "batch-5")
    assert await store.known_fallbacks("r", "s", "64x64x9", "card") == ()
    await store.remember_fallbacks("r", "s", "64x64x5", "card", ())
    assert await store.known_fallbacks("r", "s", "64x64x5", "card") == ()
    assert await store.fact("id", lambda: "one") == "one"
    assert await store.fact("id", lambda: "two") == "one"


async def test_a_sound_store_has_nothing_to_complain_of(store):
    await store.add(make(), claim="c")
    assert await store.check() is None
    assert store.unreadable == {}


@pytest.mark.parametrize("form", FORMS)
async def test_after_its_end_a_store_answers_nothing(form, tmp_path):
    store = MemoryLedger() if form == "memory" else await Ledger.open(tmp_path / "l.db")
    await store.close()
    with pytest.raises(RuntimeError):
        await store.counts()
    with pytest.raises(RuntimeError):
        await store.add(make(), claim="c")


async def test_a_version_is_referenced_by_any_job_ended_ones_included(store, monkeypatch):
    monkeypatch.setattr("zoetrope.store.sqlite.index.WALK", 3)
    for number, state in enumerate(State):
        await store.add(make(state, recipe_version=f"v{number}"), claim=f"c{number}")
    await store.add(make(), claim="without")
    wanted = {f"v{number}" for number in range(len(State))}
    assert await store.referenced({*wanted, "nobody's"}) == wanted
    assert await store.referenced(["v0"]) == {"v0"}
    assert await store.referenced([]) == set()
