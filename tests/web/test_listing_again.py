"""A list that did not change is given again, and one that did is not."""

import msgspec

from tests.web.fakes import make_job
from zoetrope.domain.job import State
from zoetrope.jobs.progress import Live
from zoetrope.store.sqlite.ledger import Ledger


async def listed(client, **query):
    return (await (await client.get("/api/v1/jobs", params=query)).json())["jobs"]


async def test_what_is_written_is_in_the_next_answer(client, parts):
    first = make_job(State.DONE)
    await parts.ledger.add(first, claim=first.id)
    assert [job["id"] for job in await listed(client)] == [first.id]
    assert [job["id"] for job in await listed(client)] == [first.id]
    second = make_job(State.DONE)
    await parts.ledger.add(second, claim=second.id)
    assert [job["id"] for job in await listed(client)] == [second.id, first.id]
    await parts.ledger.change(first.id, lambda j: msgspec.structs.replace(j, stem="renamed"))
    assert {job["stem"] for job in await listed(client)} == {"cat", "renamed"}


async def test_the_same_list_is_read_once(client, parts, monkeypatch):
    job = make_job(State.DONE)
    await parts.ledger.add(job, claim=job.id)
    asked = []
    page = parts.ledger.page

    async def counted(question):
        asked.append(question)
        return await page(question)

    monkeypatch.setattr(parts.ledger, "page", counted)
    for _ in range(5):
        await listed(client)
    await listed(client, state="done")
    assert len(asked) == 2


async def test_a_ledger_that_was_opened_anew_is_asked_anew(client, parts):
    """As a reload of the settings does: its writes are counted from the beginning."""
    assert await listed(client, state="review") == []
    await parts.ledger.close()
    parts.ledger = await Ledger.open(parts.settings.ledger_file)
    job = make_job(State.REVIEW)
    await parts.ledger.add(job, claim=job.id)
    parts.ledger.writes = 0
    assert [each["id"] for each in await listed(client, state="review")] == [job.id]


async def test_how_far_a_job_is_is_never_old(client, parts):
    job = make_job(State.RUNNING)
    await parts.ledger.add(job, claim=job.id)
    assert (await listed(client))[0]["live"] is None
    live = {
        "stage": "i2v", "engine": "e0", "node": "x", "value": 1.0, "maximum": 4.0,
        "fraction": 0.25, "started": 1.0, "eta": 3.0, "moved": 1.0, "silence": 60.0,
    }  # fmt: skip
    known = {field.name for field in msgspec.structs.fields(Live)}
    told = {key: value for key, value in live.items() if key in known}
    parts.conductor.lives[job.id] = msgspec.convert(told, Live)
    assert (await listed(client))[0]["live"]["fraction"] == 0.25
