"""Jobs are found by state, recipe and words, a page at a time."""

import sqlite3

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.fakes import IMAGE, make_job
from zoetrope.domain.job import State
from zoetrope.domain.query import JobQuery, words
from zoetrope.domain.steps import complete_pair
from zoetrope.domain.values import Ticket
from zoetrope.store.sqlite.query import sql
from zoetrope.store.sqlite.schema import MIGRATIONS


async def found(client, **query):
    response = await client.get("/api/v1/jobs", params=query)
    assert response.status == 200, await response.text()
    return [job["stem"] for job in (await response.json())["jobs"]]


@pytest.fixture
async def jobs(parts):
    for number, (state, recipe, prompt) in enumerate(
        [
            (State.DONE, "hero", "she turns her head"),
            (State.DONE, "flf", "a slow ZOOM to the Straße"),
            (State.FAILED, "hero", "a slow turn"),
            (State.QUEUED, "hero", ""),
        ]
    ):
        job = make_job(
            state,
            id=f"{number:x}" * 32,
            stem=f"cat{number}",
            ticket=Ticket(recipe=recipe, prompt=prompt),
            images=(msgspec.structs.replace(IMAGE, name=f"Käthe {number}.png"),),
        )
        await parts.ledger.add(job, claim=job.id)


@pytest.mark.parametrize(
    ("query", "stems"),
    [
        ({"recipe": "hero"}, ["cat3", "cat2", "cat0"]),
        ({"recipe": "hero", "state": "done,failed"}, ["cat2", "cat0"]),
        ({"recipe": "her"}, []),
        ({"q": "slow"}, ["cat2", "cat1"]),
        ({"q": "SLOW zoom"}, ["cat1"]),
        ({"q": "strasse"}, ["cat1"]),
        ({"q": "käthe 3"}, ["cat3"]),
        ({"q": "cat2"}, ["cat2"]),
        ({"q": "1111111111"}, ["cat1"]),
        ({"q": "turn", "state": "done"}, ["cat0"]),
        ({"q": "slow", "recipe": "flf", "state": "done,done"}, ["cat1"]),
        ({"q": "%"}, []),
        ({"q": "  "}, ["cat3", "cat2", "cat1", "cat0"]),
        ({"q": "no such word"}, []),
    ],
)
async def test_jobs_are_found_by_what_is_said_of_them(client, jobs, query, stems):
    assert await found(client, **query) == stems
    assert await found(client, **query, limit=1) == stems[:1]


STRANGE = [
    *("KÄTHE 1", "straSSE", "%", "_", "100%", "'", '"', "''", "\\", "🎞", "😀 slow", "slow 😀", "a+b", "&q=x", "#"),
    *("\x00", "\ufeff", "\u0085slow", " slow ", "x" * 500, "slow " * 100, "🎞" * 500, "s l o w " * 60),
]  # fmt: skip


@pytest.mark.parametrize("query", STRANGE)
async def test_a_search_with_an_id_says_whether_that_job_is_among_its_results(client, jobs, query):
    """So the page asks about a job that an event brought while a search is on."""
    results = await found(client, q=query)
    for number in range(4):
        own = await found(client, q=f"{query} {f'{number:x}' * 32}")
        assert own == ([f"cat{number}"] if f"cat{number}" in results else [])


@pytest.mark.parametrize("query", STRANGE)
async def test_a_search_finds_what_holds_each_of_its_words(client, parts, jobs, query):
    for number, text in enumerate(STRANGE[:-1]):
        job = make_job(State.DONE, id=f"{number:032x}", stem=f"odd{number}", ticket=Ticket(recipe="r", prompt=text))  # fmt: skip
        await parts.ledger.add(job, claim=job.id)
    rows = await parts.ledger.page(JobQuery(limit=200))
    each = query.casefold().split()
    wanted = [row.job.stem for row in rows if all(word in words(row.job) for word in each)]
    assert await found(client, q=query, limit=200) == wanted
    paged, before = [], {}
    while True:
        body = await (await client.get("/api/v1/jobs", params={"q": query, "limit": 3, **before})).json()  # fmt: skip
        paged += [job["stem"] for job in body["jobs"]]
        if body["next"] is None:
            break
        before = {"before": body["next"]}
    assert paged == wanted


async def test_pages_of_a_search_follow_one_another(client, jobs):
    first = await (await client.get("/api/v1/jobs?recipe=hero&limit=2")).json()
    assert await found(client, recipe="hero", before=first["next"]) == ["cat0"]


async def test_a_half_that_found_its_other_is_found_by_both_names(client, parts):
    half = make_job(State.WAITING, half="start")
    await parts.ledger.add(half, claim="c")
    other = msgspec.structs.replace(IMAGE, name="the-end.png")
    await parts.ledger.change(
        half.id, lambda job: complete_pair(job, 1.0, images=(*job.images, other))
    )
    assert await found(client, q="the-end") == ["cat"]


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("stat=done", "query"),
        ("limit=1&limit=2", "limit"),
        ("q=" + "x" * 1001, "q"),
        ("state=done,reveiw", "state"),
    ],
)
async def test_a_question_that_cannot_be_is_a_bad_request(client, query, key):
    response = await client.get(f"/api/v1/jobs?{query}")
    assert response.status == 400
    assert (await response.json())["key"] == key


async def test_a_typing_mistake_in_a_key_is_told_with_the_nearest(client):
    body = await (await client.get("/api/v1/jobs?stat=done")).json()
    assert "did you mean `state`?" in body["detail"]


STEMS = st.sampled_from(["cat", "dog", "Ö", "x y"])


@given(
    made=st.lists(
        st.tuples(st.sampled_from(list(State)), st.sampled_from("ab"), STEMS), max_size=12
    ),
    states=st.lists(st.sampled_from(list(State)), max_size=3).map(tuple),
    recipe=st.sampled_from(["", "a", "b", "c"]),
    text=st.sampled_from(["", "cat", "O", "ö", "x", "y x", "'", "%"]),
    limit=st.integers(1, 5),
    before=st.integers(0, 14),
)
def test_a_question_finds_exactly_what_it_says(made, states, recipe, text, limit, before):
    db = sqlite3.connect(":memory:")
    db.create_function("words_of", 1, lambda body: body)
    for script in MIGRATIONS:
        db.executescript(script)
    jobs = [make_job(s, stem=stem, images=(), ticket=Ticket(recipe=r)) for s, r, stem in made]
    for seq, job in enumerate(jobs, 1):
        row = (seq, job.id, str(job.state), "", job.stem, job.ticket.recipe, "", 0.0, 0.0, b"")
        db.execute(
            "INSERT INTO jobs (seq, id, state, folder, stem, recipe, fingerprint, not_before,"
            " updated, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        db.execute("INSERT INTO words VALUES (?, ?)", (seq, words(job)))
    question = JobQuery(states=states, recipe=recipe, text=text, limit=limit, before=before)
    rows = [seq for seq, _, _ in db.execute(*sql(question))]
    db.close()
    wanted = [
        seq
        for seq, job in enumerate(jobs, 1)
        if seq < before
        and (not states or job.state in states)
        and recipe in ("", job.ticket.recipe)
        and all(word in words(job) for word in text.casefold().split())
    ]
    assert rows == wanted[::-1][:limit]
