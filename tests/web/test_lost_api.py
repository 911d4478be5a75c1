from tests.fakes.lost import FOUND, lose
from tests.web.fakes import make_job
from zoetrope.errors import Rejected


async def test_lost_work_is_listed_in_pages_and_becomes_a_job(client, parts):
    jobs = sorted((lose(parts.settings) for _ in range(3)), key=lambda job: job.id)
    first = await (await client.get("/api/v1/lost?limit=2")).json()
    rest = await (await client.get(f"/api/v1/lost?limit=2&after={first['next']}")).json()
    listed = [*first["lost"], *rest["lost"]]
    assert [each["job"] for each in listed] == [job.id for job in jobs]
    assert (first["total"], rest["next"], first["folder"]) == (3, None, str(parts.settings.lost))
    assert (listed[0]["pictures"][0]["name"], listed[0]["found"]) == ("cat.png", FOUND)
    answer = await client.post(f"/api/v1/lost/{jobs[0].short}/recover")
    made = await answer.json()
    assert (answer.status, answer.headers["Location"]) == (201, f"/api/v1/jobs/{made['id']}")
    assert (await client.get(answer.headers["Location"])).status == 200
    assert (await (await client.get("/api/v1/lost")).json())["total"] == 2
    assert (await client.post(f"/api/v1/lost/{jobs[0].short}/recover")).status == 404


async def test_what_cannot_be_recovered_says_why_and_stays(client, parts):
    job = lose(parts.settings)
    parts.submissions.error = Rejected("It is no picture.", "Look at it.")
    answer = await client.post(f"/api/v1/lost/{job.id}/recover")
    assert (answer.status, (await answer.json())["next_step"]) == (422, "Look at it.")
    await parts.ledger.add(make_job(id=job.id), claim="other")
    answer = await client.post(f"/api/v1/lost/{job.id}/recover")
    assert (answer.status, (await answer.json())["key"]) == (422, "not-lost")
    assert (await (await client.get("/api/v1/lost")).json())["total"] == 1


async def test_discarded_work_is_gone_for_good_and_the_answer_says_what_it_was(client, parts):
    job, kept = (lose(parts.settings, body=b"x" * 50_000) for _ in range(2))
    assert (await (await client.get("/api/v1/lost")).json())["lost"][0]["size"] >= 50_000
    await parts.ledger.add(make_job(id=kept.id), claim="other")
    answer = await client.post(f"/api/v1/lost/{job.short}/discard")
    gone = await answer.json()
    assert (answer.status, gone["job"], gone["pictures"][0]["name"]) == (200, job.id, "cat.png")
    assert gone["size"] >= 50_000
    assert [path.name for path in parts.settings.lost.iterdir()] == [kept.id]
    answer = await client.post(f"/api/v1/lost/{job.short}/discard")
    assert (answer.status, (await answer.json())["key"]) == (404, "lost-unknown")
    # A job that needs it has a row by now.
    answer = await client.post(f"/api/v1/lost/{kept.short}/discard")
    assert (answer.status, (await answer.json())["key"]) == (422, "not-lost")
    assert (parts.settings.lost / kept.id).is_dir()


async def test_before_the_ledger_is_open_it_says_so(client, parts):
    parts.readmission = None
    assert (await client.get("/api/v1/lost")).status == 503
    for action in ("recover", "discard"):
        assert (await client.post(f"/api/v1/lost/ab/{action}")).status == 503
