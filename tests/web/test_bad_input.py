"""What a service on a network has to live with: broken, forged, endless and hostile requests."""

import asyncio
import hmac
import io
import json
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import FormData, StreamReader
from aiohttp.test_utils import make_mocked_request

from tests.web.fakes import IMAGE, make_job
from tests.web.test_guard import TOKEN
from tests.web.test_jobs import AS_JSON, form, problem
from zoetrope.domain.job import Attempt, Progress, Stage, State
from zoetrope.domain.values import Failure, Ticket
from zoetrope.errors import Reason
from zoetrope.jobs.progress import Live
from zoetrope.settings import WebSettings
from zoetrope.web import guard
from zoetrope.web.api.upload import receive
from zoetrope.web.endpoint import read_json
from zoetrope.web.problems import BadRequest

HTML = '<script>alert("1")</script><img src=x onerror=alert(1)>\u2028</style>'
CHANGES = [
    "/api/v1/jobs",
    *(f"/api/v1/jobs/1/{action}" for action in ("approve", "decline", "cancel", "retry", "again")),
]


async def talk(client, content):
    """Send bytes as they are, and give all that comes back until the service closes the line."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(content)
    async with asyncio.timeout(45):
        answer = await reader.read()
    writer.close()
    return answer


def request(method, path, *headers, body=b""):
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers])
    return head.encode() + b"\r\n\r\n" + body


# Broken forms


@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader")
async def test_wherever_a_form_is_cut_nothing_is_taken(client, parts):
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        b"picture\r\n"
        b'--x\r\nContent-Disposition: form-data; name="ticket"\r\n\r\n{"seed": 7}\r\n--x--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for cut in range(len(whole) - 3):
        response = await client.post("/api/v1/jobs", data=whole[:cut], headers=headers)
        assert response.status == 400, (cut, await response.text())
        assert response.content_type == "application/problem+json"
        assert parts.submissions.taken == []
        assert list(parts.uploads.glob("*")) == []


async def test_a_line_that_breaks_in_the_middle_of_an_upload_leaves_nothing(client, parts):
    head = request(
        "POST", "/api/v1/jobs", "Content-Type: multipart/form-data; boundary=x", "Content-Length: 9999"
    )  # fmt: skip
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf a pic'
    _, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(head + part)
    async with asyncio.timeout(45):
        while not list(parts.uploads.glob("*/image")):
            await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(45):
        while list(parts.uploads.glob("*")):
            await asyncio.sleep(0)
    assert parts.submissions.taken == []


async def test_a_line_that_was_closed_before_a_form_is_read_is_no_fault_of_the_service(tmp_path):
    gone = mock.Mock(
        transport=None, connected=False, _reading_paused=False, max_field_size=8190, max_headers=128
    )
    body = StreamReader(gone, 2**16)
    body.feed_data(b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf')
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    asked = make_mocked_request("POST", "/", headers=headers, protocol=gone, payload=body)
    with pytest.raises(BadRequest, match="too early"):
        async with receive(asked, tmp_path, limit=1000):
            pytest.fail("half a form is taken")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/html"])
async def test_a_body_of_another_type_is_refused_with_what_is_right(client, parts, path, kind):
    response = await client.post(path, data=b'{"seed": 1}', headers={"Content-Type": kind})
    body = await problem(response, 415, "media-type")
    assert kind in body["detail"]
    assert body["next_step"]
    assert parts.submissions.taken == []


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"seed": 1e999}', b"[" * 10_000, b'{"a":' * 10_000],
)  # fmt: skip
async def test_a_body_that_is_no_json_object_is_a_bad_request(client, path, body):
    response = await client.post(path, data=body, headers=AS_JSON)
    await problem(response, 400, "bad-request")


DEEP = b"[" * 900 + b"]" * 900
# What is of the wrong type by its place alone is a bad request, the rest is a ticket that is refused.
VALUES = [
    (b'"parameters": {"steps": %s}' % (b"9" * 4000), 422),
    (b'"steps": %s' % (b"9" * 4000), 422),
    (b'"seed": -99999999999999999999', 422),
    (b'"steps": %s' % DEEP, 422),
    (b'"prompt": %s' % DEEP, 400),
    (b'"parameters": {"steps": %s}' % DEEP, 400),
    (b'"seconds": 1e400', 400),
]
NUMBERS = range(len(VALUES))


@pytest.mark.parametrize(("said", "status"), VALUES, ids=NUMBERS)
async def test_a_value_that_could_not_be_kept_is_refused(client, parts, said, status):
    job = make_job(State.DONE)
    await parts.ledger.add(job, claim=job.id)
    for path in ("/api/v1/jobs", f"/api/v1/jobs/{job.id}/again"):
        body = b'{"path": "cat.png", %s}' % said if path.endswith("jobs") else b"{%s}" % said
        response = await client.post(path, data=body, headers=AS_JSON)
        told = await problem(response, status, "ticket-value" if status == 422 else "bad-request")
        assert len(told["detail"]) < 500
        assert told["next_step"]
    response = await client.post("/api/v1/jobs", data=form(ticket=(b"{%s}" % said).decode()))
    assert response.status == status
    assert parts.submissions.taken == []
    assert len((await (await client.get("/api/v1/jobs")).json())["jobs"]) == 1


@pytest.mark.parametrize(("said", "status"), VALUES, ids=NUMBERS)
async def test_of_a_ticket_that_is_only_looked_at_it_is_the_answer(client, said, status):
    body = b'{"ticket": {%s}}' % said
    response = await client.post("/api/v1/lint", data=body, headers=AS_JSON)
    if status == 400:
        await problem(response, 400, "bad-request")
    else:
        assert response.status == 200
        assert (await response.json())["refusal"]["key"] == "ticket-value"


@pytest.mark.parametrize(
    "value", [b"9" * 4000, b"1e308", b"-99999999999999999999", DEEP], ids=range(4)
)
async def test_a_graph_of_such_values_is_answered(client, value):
    graph = b'{"1": {"class_type": "KSampler", "inputs": {"seed": %s, "cfg": %s}}}' % (value, value)
    body = b'{"graph": %s}' % graph
    response = await client.post("/api/v1/lint", data=body, headers=AS_JSON)
    assert response.status == 200


@pytest.mark.parametrize("path", CHANGES)
async def test_a_body_without_end_is_not_read(client, path):
    body = b'{"why": "' + b"x" * 100_000 + b'"}'
    response = await client.post(path, data=body, headers=AS_JSON)
    assert response.status == 413
    assert (await response.json())["key"] == "request-entity-too-large"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"seed": "x"}, "seed: found 'x', allowed is a whole number"),
        ({"seconds": "long"}, "seconds"),
        ({"preset": [1]}, "preset[0]"),
        ({"parameters": []}, "parameters"),
        ({"path": 1}, "path: found 1, allowed is a text"),
        ({}, "the key `path` is missing"),
    ],
)
async def test_every_mistake_of_a_ticket_is_told_with_its_place(client, parts, body, told):
    response = await client.post("/api/v1/jobs", json=body)
    assert told in (await problem(response, 400, "bad-request"))["detail"]
    assert parts.submissions.taken == []


# Forged and guessed


@pytest.mark.parametrize("path", CHANGES)
async def test_a_forged_host_or_origin_changes_nothing(client, path):
    for headers, key in (
        ({"Host": "evil.example"}, "host"),
        ({"Host": "127.0.0.1.evil.example"}, "host"),
        ({"Origin": "http://evil.example"}, "origin"),
        ({"Origin": "null"}, "origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin"),
    ):
        await problem(await client.post(path, headers=headers), 403, key)


async def test_every_address_of_the_description_wants_the_token(serve, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    client = await serve(f'token_file = "{tmp_path}/token"')
    right = {"Authorization": f"Bearer {TOKEN}"}
    described = await (await client.get("/api/v1/openapi.json", headers=right)).json()
    asked = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if operation.get("security") == []:
                continue
            address = path.replace("{id}", "1").replace("{name}", "x")
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "zoetrope=wrong"}):
                response = await client.request(method, address, headers=headers)
                await problem(response, 401, "token")
                asked += 1
    assert asked > 40


def test_a_guess_is_compared_in_a_time_that_does_not_depend_on_it(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN)
    access = guard.access(WebSettings(token_file=tmp_path / "token"))
    compared = []

    def watch(one, other):
        compared.append((len(one), len(other)))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(guard.hmac, "compare_digest", watch)
    guesses = ["", "x", TOKEN[:-1], TOKEN + "x", "ü" * 1000, TOKEN]
    assert [access.opens(guess) for guess in guesses] == [False] * 5 + [True]
    # Digests are compared, so that not even the token's length is told.
    assert set(compared) == {(32, 32)}
    assert len(compared) == len(guesses)


# Hostile texts


def html_everywhere():
    reason = Reason(HTML, HTML, HTML)
    attempt = Attempt(
        number=1,
        prompt_id=HTML,
        engine=HTML,
        state=Progress.FAILED,
        fallbacks=(HTML,),
        failure=Failure(kind=HTML, message=HTML, node=HTML),
    )
    return make_job(
        State.FAILED,
        stem=HTML,
        folder=HTML,
        origin=HTML,
        half=HTML,
        parent=HTML,
        reason=reason,
        notes=(HTML,),
        outbox=HTML,
        images=(msgspec.structs.replace(IMAGE, name=HTML, source=HTML, changes=(HTML,)),),
        ticket=Ticket(
            recipe=HTML, preset=(HTML,), prompt=HTML, negative=HTML, name=HTML, parameters={HTML: HTML}
        ),
        stages=(Stage(name=HTML, fallbacks=(HTML,), attempts=(attempt,), poster=HTML),),
    )  # fmt: skip


def texts(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


async def test_html_in_every_text_of_a_job_comes_back_as_json_text(client, parts):
    job = html_everywhere()
    await parts.ledger.add(job, claim=job.id)
    parts.conductor.lives[job.id] = Live(stage=HTML, engine=HTML, node=HTML)
    parts.conductor.workers[0].name = HTML
    parts.conductor.workers[0].reason = Reason(HTML, HTML)
    for path, least in {
        "/api/v1/jobs": 20,
        f"/api/v1/jobs/{job.id}": 20,
        "/api/v1/engines": 3,
        "/api/v1/status": 3,
        "/readyz": 0,
        f"/api/v1/jobs?q={HTML.split()[0]}&recipe={HTML[:100]}": 0,
    }.items():
        response = await client.get(path, headers={"Accept": "text/html"})
        assert response.content_type == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        found = [text for text in texts(await response.json()) if HTML in text]
        assert len(found) >= least, path


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs?state={}",
        "/api/v1/jobs?limit={}",
        "/api/v1/jobs?{}=1",
        "/api/v1/jobs/{}",
        "/api/v1/jobs/1/artefacts/{}",
        "/api/v1/recipes/{}",
        "/api/v1/{}",
        "/{}",
        "/readyz?format={}",
    ],
)
async def test_html_in_an_address_comes_back_as_json_text(client, parts, path):
    job = make_job(id="1" * 32)
    await parts.ledger.add(job, claim=job.id)
    response = await client.get(path.format(quote(HTML, safe="")), headers={"Accept": "text/html"})
    assert response.status in (400, 404)
    assert response.content_type == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    await response.json()


async def test_html_that_is_sent_comes_back_as_json_text(client, parts):
    made = FormData(quote_fields=False)
    made.add_field("image", b"picture", filename="<img src=x onerror=alert(1)>.png")
    made.add_field("ticket", json.dumps({"prompt": HTML, HTML: HTML}))
    review = make_job(State.REVIEW)
    await parts.ledger.add(review, claim=review.id)
    for path, body in (
        ("/api/v1/jobs", {"data": made}),
        (f"/api/v1/jobs/{review.id}/decline", {"json": {"why": HTML}}),
        (f"/api/v1/jobs/{review.id}/decline", {"json": {HTML: HTML}}),
        (f"/api/v1/jobs/{review.id}/again", {"json": {"recipe": {HTML: HTML}}}),
        ("/api/v1/jobs", {"json": {"path": HTML, "seed": HTML}}),
    ):
        response = await client.post(path, **body)
        assert response.content_type.endswith("json")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert any("<" in text for text in texts(await response.json())), path


# Endless and many


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"\0" * 1000,
        request("GET", "/" + "x" * 20_000),
        request("GET", "/healthz", "X-Long: " + "x" * 20_000),
        request("GET", "/healthz", "X\0: 1"),
        request("POST", "/api/v1/jobs/1/cancel", "Content-Length: -1"),
        request("POST", "/api/v1/jobs/1/cancel", "Content-Length: 5", "Transfer-Encoding: chunked"),
        request("POST", "/api/v1/jobs/1/cancel", "Transfer-Encoding: chunked", body=b"zz\r\n\r\n"),
    ],
    ids=str,
)
async def test_what_is_no_http_is_answered_shortly_and_the_service_goes_on(client, content):
    answer = await talk(client, content)
    # A request of HTTP/0.9 names no host, and so gets no further than any other that names none.
    assert answer.split(b" ")[1] in (b"400", b"403")
    assert len(answer) < 5000
    assert (await client.get("/healthz")).status == 200


async def test_a_thousand_connections_one_after_the_other_leave_nothing_open(client):
    handles = Path("/proc/self/fd")
    before = len(list(handles.iterdir()))
    asked = request("GET", "/healthz", "Connection: close")
    for _ in range(1000):
        answer = await talk(client, asked)
        assert answer.startswith(b"HTTP/1.1 200 OK")
    async with asyncio.timeout(45):
        while len(list(handles.iterdir())) > before:
            await asyncio.sleep(0)


async def test_an_upload_over_the_limit_closes_its_line_and_leaves_nothing(serve, tmp_path):
    client = await serve("max_upload_megabytes = 1")
    response = await client.post("/api/v1/jobs", data=form(data=io.BytesIO(b"x" * 2_000_000)))
    body = await problem(response, 413, "too-large")
    assert body["next_step"] == "Send a smaller picture, or raise web.max_upload_megabytes."
    assert response.headers["Connection"] == "close"
    assert list((tmp_path / "state").glob("uploads/*")) == []


async def test_a_body_that_is_cut_off_is_nobodys_fault():
    """As aiohttp says it where the connection was closed before the body was read."""

    class Cut:
        async def read(self):
            raise RuntimeError("Connection closed.")

    with pytest.raises(BadRequest, match="ends too early"):
        await read_json(Cut(), how="Send JSON.")
