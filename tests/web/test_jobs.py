import io
import json

import pytest
from aiohttp import FormData, MultipartWriter

from tests.web.fakes import make_job
from zoetrope.domain.job import State
from zoetrope.errors import EngineDown, LedgerError, Reason, Rejected
from zoetrope.jobs.progress import Live

AS_JSON = {"Content-Type": "application/json"}


async def problem(response, status, key):
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    body = await response.json()
    assert body["status"] == status
    assert body["key"] == key
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    return body


def form(name="cat.png", data=b"picture", **fields):
    made = FormData()
    if name is not None:
        made.add_field("image", data, filename=name, content_type="image/png")
    for key, value in fields.items():
        made.add_field(key, value, **({"filename": "end.png"} if key == "end" else {}))
    return made


async def add(parts, *states):
    jobs = [make_job(state) for state in states]
    for job in jobs:
        await parts.ledger.add(job, claim=job.id)
    return jobs


# Listing


async def test_jobs_are_listed_newest_first_a_page_at_a_time(client, parts):
    jobs = await add(parts, *[State.QUEUED] * 5)
    first = await (await client.get("/api/v1/jobs?limit=3")).json()
    assert [job["id"] for job in first["jobs"]] == [job.id for job in reversed(jobs[2:])]
    second = await (
        await client.get("/api/v1/jobs", params={"limit": 3, "before": first["next"]})
    ).json()
    assert [job["id"] for job in second["jobs"]] == [job.id for job in reversed(jobs[:2])]
    assert second["next"] is None


async def test_a_page_that_ends_with_the_last_job_names_no_next_one(client, parts):
    await add(parts, *[State.QUEUED] * 2)
    assert (await (await client.get("/api/v1/jobs?limit=2")).json())["next"] is None


async def test_jobs_are_listed_by_state(client, parts):
    await add(parts, State.QUEUED, State.REVIEW, State.DONE)
    body = await (await client.get("/api/v1/jobs?state=review,done")).json()
    assert {job["state"] for job in body["jobs"]} == {"review", "done"}


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("state=reveiw", "state"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1_0", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=٣", "limit"),
        ("before=x", "before"),
    ],
)
async def test_a_query_that_cannot_be_is_answered_with_what_is_allowed(client, query, key):
    body = await problem(await client.get(f"/api/v1/jobs?{query}"), 400, key)
    assert "allowed is" in body["detail"] or "did you mean `review`" in body["detail"]


# One job


async def test_a_job_is_found_by_the_beginning_of_its_id(client, parts):
    (job,) = await add(parts, State.REVIEW)
    body = await (await client.get(f"/api/v1/jobs/{job.short.upper()}")).json()
    assert body["id"] == job.id
    assert body["name"] == "cat.png"
    assert body["actions"] == ["approve", "decline", "cancel"]
    assert body["outbox"] == f"{parts.settings.outbox.path}/review/cat-{job.short}"
    assert [stage["name"] for stage in body["stages"]] == ["i2v", "upscale"]


async def test_a_running_job_shows_how_far_it_is(client, parts):
    (job,) = await add(parts, State.RUNNING)
    parts.conductor.lives[job.id] = Live(stage="i2v", engine="comfyui", fraction=0.25, eta=40.0)
    body = await (await client.get(f"/api/v1/jobs/{job.id}")).json()
    assert body["live"]["fraction"] == 0.25
    assert body["live"]["eta"] == 40.0


async def test_an_unknown_id_is_not_found(client):
    body = await problem(await client.get("/api/v1/jobs/ffff"), 404, "not-found")
    assert "zoetrope jobs" in body["next_step"]


async def test_the_beginning_of_two_ids_is_not_enough(client, parts):
    for last in "ab":
        job = make_job(id="1" * 31 + last)
        await parts.ledger.add(job, claim=job.id)
    body = await problem(await client.get("/api/v1/jobs/11"), 404, "not-found")
    assert body["next_step"] == "Give more of it."


# Decisions


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("approve", State.REVIEW, "queued"),
        ("decline", State.REVIEW, "cancelled"),
        ("cancel", State.RUNNING, "cancelled"),
        ("retry", State.FAILED, "queued"),
    ],
)
async def test_a_decision_changes_the_job(client, parts, action, before, after):
    (job,) = await add(parts, before)
    response = await client.post(f"/api/v1/jobs/{job.short}/{action}")
    assert response.status == 200
    assert (await response.json())["state"] == after


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_decision_keeps_the_persons_words(client, parts, action):
    (job,) = await add(parts, State.REVIEW)
    response = await client.post(f"/api/v1/jobs/{job.id}/{action}", json={"why": "too dark"})
    assert (await response.json())["reason"]["sentence"] == "too dark"


@pytest.mark.parametrize("action", ["approve", "decline", "retry"])
async def test_a_decision_that_the_state_does_not_allow_is_a_conflict(client, parts, action):
    (job,) = await add(parts, State.RUNNING)
    body = await problem(
        await client.post(f"/api/v1/jobs/{job.id}/{action}"), 409, "illegal-transition"
    )
    assert "running" in body["detail"]


@pytest.mark.parametrize("body", [b"{", b'{"why": 1}', b'{"wy": "x"}', b"[]"])
async def test_a_decision_with_a_broken_body_changes_nothing(client, parts, body):
    (job,) = await add(parts, State.REVIEW)
    await problem(
        await client.post(f"/api/v1/jobs/{job.id}/decline", data=body, headers=AS_JSON),
        400,
        "bad-request",
    )
    assert (await parts.ledger.get(job.id)).state is State.REVIEW


async def test_an_action_that_does_not_exist_is_not_found(client, parts):
    (job,) = await add(parts, State.REVIEW)
    await problem(await client.post(f"/api/v1/jobs/{job.id}/explode"), 404, "not-found")


async def test_a_method_that_is_not_taken_says_which_is(client):
    response = await client.delete("/api/v1/jobs")
    await problem(response, 405, "method-not-allowed")
    assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


# Uploads


async def test_an_upload_becomes_a_job(client, parts):
    response = await client.post(
        "/api/v1/jobs", data=form(ticket=json.dumps({"prompt": "she turns"}))
    )
    assert response.status == 201
    body = await response.json()
    assert response.headers["Location"] == f"/api/v1/jobs/{body['id']}"
    (taken,) = parts.submissions.taken
    assert taken["bytes"] == b"picture"
    assert taken["name"] == "cat.png"
    assert taken["ticket"] == {"prompt": "she turns"}
    assert taken["end"] is None


async def test_an_upload_can_bring_a_last_picture(client, parts):
    await client.post("/api/v1/jobs", data=form(end=b"last"))
    assert parts.submissions.taken[0]["end"] == (b"last", "end.png")


async def test_nothing_is_left_of_an_upload_afterwards(client, parts):
    await client.post("/api/v1/jobs", data=form())
    assert list((parts.settings.state.path / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\pictures\\\\cat.png", "cat.png"),
        ("%22cat%22.png", '"cat".png'),
        ("a%2Fb.png", "a%2Fb.png"),
        ("..", "image"),
        ("a\u202eb.png", "ab.png"),
        ("Katze ü.png", "Katze ü.png"),
    ],
)
async def test_a_file_name_is_only_ever_a_name(client, parts, sent, kept):
    # As browsers send it: the name's letters as they are.
    body = (
        f'--x\r\nContent-Disposition: form-data; name="image"; filename="{sent}"\r\n\r\n'
        "picture\r\n--x--\r\n"
    )
    response = await client.post(
        "/api/v1/jobs",
        data=body.encode(),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert response.status == 201, await response.text()
    assert parts.submissions.taken[0]["name"] == kept


async def test_a_refused_ticket_is_unprocessable(client):
    body = await problem(
        await client.post("/api/v1/jobs", data=form(ticket='{"promt": "x"}')), 422, "rejected"
    )
    assert body["next_step"] == "Fix the ticket."


async def test_a_duplicate_is_a_conflict_that_names_the_earlier_job(client, parts):
    error = Rejected("The same was made before.", key="duplicate")
    error.job = "abc"
    parts.submissions.error = error
    body = await problem(await client.post("/api/v1/jobs", data=form()), 409, "duplicate")
    assert body["job"] == "abc"


@pytest.mark.parametrize(
    ("error", "status", "key"),
    [
        (EngineDown("No engine answers."), 503, "engine-down"),
        (LedgerError("The ledger is damaged."), 503, "ledger"),
        (OSError(28, "No space left on device"), 507, "disk-full"),
        (RuntimeError("a secret"), 500, "unexpected"),
    ],
)
async def test_an_error_of_the_service_is_a_problem_document(client, parts, error, status, key):
    parts.submissions.error = error
    response = await client.post("/api/v1/jobs", data=form())
    body = await problem(response, status, key)
    assert "secret" not in json.dumps(body)
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (form(None, end=b"x"), "part"),
        (form(picture="x"), "part"),
        (form(ticket="{"), "ticket"),
        (form(ticket="[1]"), "ticket"),
        (form(ticket='"' + "x" * 70_000 + '"'), "ticket"),
    ],
)
async def test_a_form_that_cannot_be_used_is_a_bad_request(client, parts, data, key):
    await problem(await client.post("/api/v1/jobs", data=data), 400, key)
    assert parts.submissions.taken == []
    assert list((parts.settings.state.path / "uploads").iterdir()) == []


async def test_the_same_part_twice_is_a_bad_request(client):
    made = form()
    made.add_field("image", b"again", filename="b.png")
    await problem(await client.post("/api/v1/jobs", data=made), 400, "part")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"no border at all", "multipart/form-data; boundary=x"),
        (b"--x\r\nbroken header\r\n\r\n", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\ncut',
         "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\nno name\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n--y--\r\n--x--\r\n",
         "multipart/form-data; boundary=x"),
    ],
)  # fmt: skip
async def test_a_broken_form_is_a_bad_request(client, parts, body, content_type):
    response = await client.post("/api/v1/jobs", data=body, headers={"Content-Type": content_type})
    assert response.status == 400, await response.text()
    assert response.content_type == "application/problem+json"
    assert parts.submissions.taken == []


async def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_read(serve):
    client = await serve("max_upload_megabytes = 1")
    response = await client.post("/api/v1/jobs", data=form(data=io.BytesIO(b"x" * 2_000_000)))
    body = await problem(response, 413, "too-large")
    assert "1 MiB" in body["detail"]


async def test_an_upload_that_turns_out_too_large_is_refused(serve, tmp_path):
    client = await serve("max_upload_megabytes = 1")
    writer = MultipartWriter("form-data")

    async def pieces():
        for _ in range(20):
            yield b"x" * 100_000

    part = writer.append(pieces())
    part.set_content_disposition("form-data", name="image", filename="a.png")
    response = await client.post("/api/v1/jobs", data=writer)
    await problem(response, 413, "too-large")
    assert list((tmp_path / "state/uploads").iterdir()) == []


# Without a ledger


async def test_without_a_ledger_every_job_request_says_why(client, parts):
    kept, parts.ledger = parts.ledger, None
    parts.conductor = parts.intake = parts.submissions = None
    parts.problem = Reason("ledger", "ledger.db is damaged.", "Restore a backup.")
    for request in (
        client.get("/api/v1/jobs"),
        client.get("/api/v1/jobs/1"),
        client.post("/api/v1/jobs", data=form()),
        client.post("/api/v1/jobs/1/approve"),
    ):
        body = await problem(await request, 503, "ledger")
        assert body["next_step"] == "Restore a backup."
    assert (await client.get("/healthz")).status == 200
    ready = await client.get("/readyz")
    assert ready.status == 503
    assert "Restore a backup." in await ready.text()
    status = await (await client.get("/api/v1/status")).json()
    assert status["problem"]["sentence"] == "ledger.db is damaged."
    parts.ledger = kept
