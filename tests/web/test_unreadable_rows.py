"""A row of the ledger that cannot be read concerns its own job; whatever else is asked is answered."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.ledger import poison
from tests.web.fakes import make_parts
from tests.web.test_jobs import AS_JSON, add, problem
from zoetrope.domain.job import State
from zoetrope.health.checks.ledger import LedgerCheck
from zoetrope.store.sqlite.ledger import Ledger

# As an earlier version wrote a parameter that was not a number.
BODY = b'{"id":"x","ticket":{"recipe":"tiny","parameters":{"cfg":null}}}'


@pytest.fixture
async def parts(tmp_path):
    ledger = await Ledger.open(tmp_path / "state" / "ledger.db")
    yield await make_parts(tmp_path, store=ledger)
    await ledger.close()


@pytest.fixture
async def jobs(parts):
    jobs = await add(parts, *[State.DONE] * 5)
    poison(parts.settings.ledger_file, *jobs[1:3], body=BODY)
    return jobs


@pytest.mark.parametrize("question", ["", "&state=done,queued", "&q=cat", "&recipe=wan22-i2v-hero"])
async def test_lists_show_all_others_to_the_last_page(client, jobs, question):
    seen, before = [], ""
    while before is not None:
        after = f"&before={before}" if before else ""
        response = await client.get(f"/api/v1/jobs?limit=1{question}{after}")
        assert response.status == 200
        page = await response.json()
        seen += [job["id"] for job in page["jobs"]]
        before = page["next"]
    assert seen == [job.id for job in (jobs[4], jobs[3], jobs[0])]


@pytest.mark.parametrize("what", ["", "/artefacts", "/artefacts/poster.jpg", "/receipt"])
async def test_the_job_itself_is_a_problem_with_a_next_step(client, jobs, what, caplog):
    for name in (jobs[1].id, jobs[1].short):
        response = await client.get(f"/api/v1/jobs/{name}{what}")
        told = await problem(response, 500, "job-unreadable")
        assert jobs[1].short in told["detail"]
        assert told["next_step"]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("order", ["approve", "decline", "cancel", "retry", "again"])
async def test_nothing_can_be_ordered_of_it(client, jobs, order):
    response = await client.post(f"/api/v1/jobs/{jobs[1].id}/{order}", data=b"{}", headers=AS_JSON)
    await problem(response, 500, "job-unreadable")


async def test_status_metrics_and_health_go_on_and_health_names_it(client, parts, jobs):
    assert (await client.get("/api/v1/jobs")).status == 200
    for path in ("/api/v1/status", "/metrics"):
        assert (await client.get(path)).status == 200
    check = LedgerCheck(parts)
    verdict = await check.look()
    await asyncio.gather(*(t for t in asyncio.all_tasks() if t.get_name() == "ledger quick_check"))
    assert verdict.level == "degraded"
    assert jobs[1].short in verdict.found
    assert verdict.next_step
