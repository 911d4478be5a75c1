"""The same steps, taken with every form of the store at once, get the same answers from each."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.domain import steps
from zoetrope.domain.job import Job, Stage, State
from zoetrope.domain.plan import Plan
from zoetrope.domain.query import JobQuery, Waiting
from zoetrope.domain.values import Ticket
from zoetrope.errors import Reason, ZoetropeError
from zoetrope.store.memory import MemoryLedger
from zoetrope.store.protocol import JobStore, Step
from zoetrope.store.sqlite.ledger import Ledger

REASON = Reason("because", "It was so.", "Try again.")

# Few of each, so that they meet; ids that begin alike; words whose case is no matter of one letter.
IDS = [f"{start}{number:031x}" for start in "abc" for number in range(3)]
CLAIMS = ["one", "two", "three", "четыре", *IDS]
NAMES = ["cat", "GRÖSSE", "größe", "Straße", "İstanbul", "50%_", "a b", "a\0b", ""]
FOLDERS = ["", "loop", "Größe"]
RECIPES = ["tiny", "loop", "Größe"]
HASHES = ["", "1" * 64, "2" * 64, "3" * 64]
TIMES = [0.0, 0.5, 10.0, 10.5, 1e300]
ids = st.sampled_from(IDS)
claims = st.sampled_from(CLAIMS)
names = st.sampled_from(NAMES)
folders = st.sampled_from(FOLDERS)
recipes = st.sampled_from(RECIPES)
hashes = st.sampled_from(HASHES)
versions = st.sampled_from(["", "v1", "v2"])
states = st.sampled_from(list(State))
times = st.sampled_from(TIMES)
priorities = st.sampled_from([-1_000_000, -1, 0, 0, 0, 1, 7])


def made(job_id: st.SearchStrategy[str]) -> st.SearchStrategy[Job]:
    """Jobs that can be kept, of which many have something in common."""
    return st.builds(
        Job,
        id=job_id,
        created=times,
        updated=times,
        state=states | st.just(State.QUEUED),
        stem=names,
        folder=folders,
        ticket=st.builds(
            Ticket,
            recipe=recipes,
            prompt=st.none() | names,
            name=st.none() | names,
            parameters=st.dictionaries(names, st.integers() | times | names, max_size=2),
        ),
        fingerprint=hashes,
        recipe_version=versions,
        plan=st.none() | st.builds(Plan, memory=st.sampled_from([8, 24])),
        priority=priorities,
        stages=st.just(())
        | st.builds(lambda due: (Stage(name="i2v", not_before=due), Stage(name="upscale")), times),
    )


def replaced(name: str, values: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return values.map(lambda value: lambda job: msgspec.structs.replace(job, **{name: value}))


def due(time: float) -> tuple[Stage, ...]:
    return (Stage(name="i2v", not_before=time),)


# One in so many is refused: an illegal step, a value that would not be read back, another id.
changes = st.one_of(
    replaced("priority", priorities),
    replaced("state", states),
    replaced("state", states),
    replaced("stem", names),
    replaced("folder", folders),
    replaced("fingerprint", hashes),
    replaced("recipe_version", versions),
    replaced("ticket", recipes.map(lambda recipe: Ticket(recipe=recipe))),
    replaced("stages", times.map(due)),
    replaced("stages", st.sampled_from([math.nan, math.inf]).map(due)),
    replaced("priority", st.sampled_from([1_000_001, 2**64])),
    replaced("stem", st.just("\ud800")),
    replaced("id", ids),
    st.sampled_from(
        [
            lambda job: job,
            lambda job: steps.submit(job, 3.0, "e0"),
            lambda job: steps.hold(job, 5.0, REASON, 9.0),
            lambda job: steps.retry(job, 7.0),
            lambda job: steps.cancel(job, 8.0),
            lambda job: steps.complete_pair(job, 8.0, images=()),
        ]
    ),
)

Ask = Callable[[JobStore], Awaitable[object]]

writes = st.one_of(
    st.builds(lambda job, claim: lambda s: s.add(job, claim=claim), made(ids), claims),
    *[
        st.builds(
            lambda job, step, claim: lambda s: s.change(job, step, claim=claim),
            ids,
            changes,
            st.none() | claims,
        )
    ]
    * 3,
    st.builds(
        lambda job, step, found: lambda s: s.publish(job, step, found),
        ids,
        changes,
        st.lists(hashes, max_size=3),
    ),
    st.builds(
        lambda recipe, fallbacks: (
            lambda s: s.remember_fallbacks(recipe, "i2v", "1x1", "card", fallbacks)
        ),
        recipes,
        st.sampled_from([(), ("tiled",), ("tiled", "batch-5")]),
    ),
    st.builds(lambda value: lambda s: s.fact("id", lambda: value), names),
)


def questions() -> list[Ask]:
    """All that can be asked, with every value that is about."""
    asked: list[Ask] = [
        lambda s: s.counts(),
        lambda s: s.tally(),
        lambda s: s.accepted(),
        lambda s: s.referenced(["v1", "v2", "v3"]),
        lambda s: s.soonest(),
        lambda s: s.all_in(),
        lambda s: s.all_in(State.DONE, State.QUEUED, State.DONE),
    ]
    for job_id in (*IDS, "", "a", "b", "c", "a0", "d"):
        asked += [lambda s, i=job_id: s.get(i), lambda s, i=job_id: s.find(i)]
    asked += [lambda s, c=claim: s.claimed(c) for claim in CLAIMS]
    asked += [lambda s, f=fingerprint: s.find_duplicate(f) for fingerprint in HASHES]
    asked += [lambda s, f=fingerprint: s.find_publisher(f) for fingerprint in HASHES]
    asked += [lambda s, f=f, n=n: s.find_half(f, n) for f in FOLDERS for n in NAMES]
    asked += [lambda s, t=time: s.oldest(t) for time in TIMES]
    asked += [lambda s, t=time: s.oldest(t, without=IDS[::2]) for time in TIMES]
    asked += [lambda s, t=time, n=n: s.recent_failures(t, n) for time in TIMES for n in (0, 2, 50)]
    asked += [lambda s, r=recipe: s.known_fallbacks(r, "i2v", "1x1", "card") for recipe in RECIPES]
    asked += [lambda s, t=time, n=n: lines(s, t, n) for time in TIMES for n in (1, 2, 50)]
    few: tuple[tuple[State, ...], ...] = ((), (State.QUEUED,), (State.DONE, State.FAILED))
    texts = ("", "CAT", "strasse", "Straße", "grösse  cat", "%", "_", "i̇s", "\0", "A0")
    queries = [
        JobQuery(states=of, recipe=recipe, text=text, limit=limit)
        for of in few
        for recipe in ("", "tiny")
        for text in texts
        for limit in (2, 50)
    ]
    asked += [lambda s, q=query: pages(s, q) for query in queries]
    return asked


async def pages(store: JobStore, query: JobQuery) -> list[object]:
    """Walk through all pages."""
    found: list[object] = []
    while page := await store.page(query):
        found += page
        query = msgspec.structs.replace(query, before=page[-1].seq)
        assert len(found) <= len(IDS)
    return found


async def lines(store: JobStore, now: float, limit: int) -> list[object]:
    """Walk through all that waits."""
    found: list[Waiting] = []
    while page := await store.waiting(now, limit, after=found[-1] if found else None):
        found += page
        assert len(found) <= len(IDS)
    return list(found)


async def answer(store: JobStore, ask: Ask) -> object:
    """Give what a store says; what it raises is an answer too."""
    try:
        return await ask(store)
    except ZoetropeError as error:
        return type(error).__name__, error.reason.key


async def compared(folder: Path, jobs: list[Job], asked: list[Ask]) -> None:
    forms: list[JobStore] = [MemoryLedger(), await Ledger.open(folder / "ledger.db")]
    heard: list[list[object]] = [[], []]
    for store, hears in zip(forms, heard, strict=True):
        store.on_change(lambda *told, hears=hears: hears.append(told))
    begun: list[Ask] = [lambda s, job=job: s.add(job, claim=job.id) for job in jobs]
    for ask in (*begun, *asked, *questions()):
        memory, sqlite = [await answer(store, ask) for store in forms]
        assert memory == sqlite
        assert forms[0].writes == forms[1].writes
        assert heard[0] == heard[1]
    for store in forms:
        await store.close()


@settings(max_examples=40, derandomize=True, database=None, deadline=None)
@given(
    jobs=st.lists(made(ids), min_size=4, max_size=9, unique_by=lambda job: job.id),
    asked=st.lists(writes, min_size=5, max_size=20),
)
def test_both_forms_give_the_same_answers_whatever_is_done_with_them(jobs, asked):
    # In memory where there is such a folder: the file's durability is not what is compared.
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        asyncio.run(compared(Path(folder), jobs, asked))
