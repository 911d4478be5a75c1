"""Requests with an Idempotency-Key: repeated they give the job that they made the first time."""

import asyncio
import uuid

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from tests.web.fakes import make_parts
from tests.web.test_jobs import problem
from zoetrope.store.sqlite.ledger import Ledger
from zoetrope.web.server import make_app

KEY = "a-key-of-the-sender"


def body(data=b"picture", name="cat.png", ticket='{"seed": 7}'):
    form = FormData()
    form.add_field("image", data, filename=name)
    if ticket:
        form.add_field("ticket", ticket)
    return form


async def post(client, *, key=KEY, path="/api/v1/jobs", **more):
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(path, headers=headers, **more)


async def test_a_repeated_upload_gives_the_job_of_the_first_one(client, parts):
    first = await post(client, data=body())
    assert first.status == 201
    made = await first.json()
    # A ticket that says the same in another order is the same.
    again = await post(client, data=body(ticket='{ "seed":7 }'))
    assert again.status == 201
    assert (await again.json())["id"] == made["id"]
    assert again.headers["Location"] == first.headers["Location"]
    assert len(parts.submissions.taken) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"data": b"another"},
        {"name": "dog.png"},
        {"ticket": '{"seed": 8}'},
        {"ticket": ""},
    ],
)
async def test_another_request_with_the_same_key_is_a_mistake(client, parts, other):
    made = await (await post(client, data=body())).json()
    told = await problem(await post(client, data=body(**other)), 422, "idempotency-key-reused")
    assert made["short"] in told["detail"]
    assert told["next_step"]
    assert len(parts.submissions.taken) == 1


async def test_another_query_is_another_request(client):
    await post(client, data=body())
    path = f"/api/v1/jobs?parent={uuid.uuid4().hex}"
    await problem(await post(client, path=path, data=body()), 422, "idempotency-key-reused")


async def test_a_named_picture_is_taken_once(client, parts):
    first, again = [await post(client, json={"path": "cat.png", "seed": 7}) for _ in range(2)]
    assert (await first.json())["id"] == (await again.json())["id"]
    assert len(parts.submissions.taken) == 1
    other = await post(client, json={"path": "cat.png", "seed": 8})
    await problem(other, 422, "idempotency-key-reused")


async def test_without_a_key_and_with_another_one_it_is_another_job(client, parts):
    for key in (None, None, "one", "two", ""):
        assert (await post(client, key=key, data=body())).status == 201
    assert len(parts.submissions.taken) == 5


async def test_requests_that_come_at_once_make_one_job(client, parts):
    answers = await asyncio.gather(*(post(client, data=body()) for _ in range(8)))
    assert len({(await answer.json())["id"] for answer in answers}) == 1
    assert len(parts.submissions.taken) == 1


async def test_a_rejected_request_may_be_corrected_under_its_key(client, parts):
    response = await post(client, data=body(ticket='{"promt": "x"}'))
    assert response.status == 422
    assert (await post(client, data=body())).status == 201
    assert len(parts.submissions.taken) == 2


@pytest.mark.parametrize("key", ["with space", "x" * 256, "ü"])
async def test_a_key_that_cannot_be_one_is_a_bad_request(client, parts, key):
    await problem(await post(client, key=key, data=body()), 400, "header")
    assert parts.submissions.taken == []


async def test_the_key_is_known_after_a_restart(tmp_path):
    ids = []
    for _ in range(2):
        ledger = await Ledger.open(tmp_path / "ledger.db")
        parts = await make_parts(tmp_path, store=ledger)
        async with TestClient(TestServer(make_app(parts, parts.bus))) as client:
            ids.append((await (await post(client, data=body())).json())["id"])
            other = await post(client, data=body(b"another"))
            await problem(other, 422, "idempotency-key-reused")
        await ledger.close()
    assert ids[0] == ids[1]
