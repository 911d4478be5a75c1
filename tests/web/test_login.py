"""The login and the token: what is no login, what is no text, and who guesses."""

import asyncio
import os

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.web.fakes import make_parts
from tests.web.test_bad_input import talk
from tests.web.test_guard import TOKEN
from zoetrope.web.guesses import OWN, OWN_EVERY
from zoetrope.web.server import make_app

FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="token"%s\r\n\r\n%s\r\n--x--\r\n'


@pytest.fixture
async def locked(serve, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    return await serve(f'token_file = "{tmp_path}/token"')


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def timed(tmp_path):
    """A service with a token, and its clock."""
    (tmp_path / "token").write_text(TOKEN)
    parts = await make_parts(tmp_path, f'token_file = "{tmp_path}/token"')
    clock = Clock()
    async with TestClient(TestServer(make_app(parts, parts.bus, clock=clock))) as client:
        yield client, clock
    await parts.ledger.close()


async def ask(client, method, path, *headers, body=b""):
    """Send headers and body as they are; gives the status and the answer."""
    head = [*headers, "Connection: close"]
    if body:
        head.append(f"Content-Length: {len(body)}")
    text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *head])
    answer = await talk(client, text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body)
    return int(answer.split()[1]), answer.decode("utf-8", "replace")


LOGINS = {
    "no type": ([], b"token=x", 415),
    "json": (["Content-Type: application/json"], b'{"token": 1}', 415),
    "a type that is no type": (["Content-Type: \udcff\udcfe"], b"token=x", 415),
    "multipart": ([MULTIPART], PART % (b"", b"x"), 415),
    "multipart with a file": ([MULTIPART], PART % (b'; filename="a"', b"x"), 415),
    "multipart without a border": (["Content-Type: multipart/form-data"], b"x", 415),
    "multipart that is cut": ([MULTIPART], b"--x\r\nContent-Dis", 415),
    "huge": ([FORM], b"token=" + b"x" * 100_000, 413),
    "a hundred fields": ([FORM], b"&".join(b"f%d=1" % n for n in range(100)), 400),
    "no UTF-8": ([FORM], b"token=\xff\xfe", 400),
    "no UTF-8 behind percents": ([FORM], b"token=%ff%fe", 400),
    "percents that are none": ([FORM], b"token=%zz%", 401),
    "NUL": ([FORM], b"token=%00\x00", 401),
    "no token": ([FORM], b"other=1", 401),
    "an unknown charset": ([FORM + "; charset=nowhere"], b"token=x", 401),
    "packed and no gzip": ([FORM, "Content-Encoding: gzip"], b"token=x", 400),
    "nothing": ([FORM], b"", 401),
}


@pytest.mark.parametrize("name", LOGINS)
async def test_what_is_no_login_is_answered_as_such(locked, caplog, name):
    headers, body, expected = LOGINS[name]
    status, answer = await ask(locked, "POST", "/login", *headers, body=body)
    assert status == expected, answer
    if status != 401:
        assert "application/problem+json" in answer
    assert "Set-Cookie" not in answer
    assert not [each for each in caplog.records if each.exc_info and each.name[:8] == "zoetrope"]


HEADERS = [
    *("Authorization: Bearer {}", "Authorization: {}", "Cookie: zoetrope={}", "Cookie: {}={}"),
    *("Content-Type: {}", "Accept: {}", "Range: {}", "If-None-Match: {}", "Last-Event-ID: {}"),
    *("Origin: {}", "Origin: http://[{}", "Sec-Fetch-Site: {}", "X-Forwarded-Proto: {}"),
    *("Content-Encoding: {}", "Idempotency-Key: {}", "X-{}: 1"),
]
RAW = ["\udcff\udcfe", "ü", "http://[", "[", "%ff%00", '"', "=;,=", "1e999", "\u2028", "x" * 4000]


@pytest.mark.parametrize("header", HEADERS)
async def test_a_header_of_any_bytes_is_no_fault_of_the_service(serve, tmp_path, caplog, header):
    (tmp_path / "token").write_text(TOKEN)
    right = f"Authorization: Bearer {TOKEN}"
    client = await serve(f'token_file = "{tmp_path}/token"')
    for raw in RAW:
        sent = header.replace("{}", raw)
        headers = [sent] if "Authorization" in header else [sent, right]
        for method, path in (
            ("GET", "/healthz"),
            ("GET", "/api/v1/jobs"),
            ("GET", "/api/v1/jobs/1/artefacts/x"),
            ("POST", "/api/v1/jobs"),
            ("POST", "/api/v1/jobs/1/cancel"),
            ("POST", "/api/v1/lint"),
            ("POST", "/login"),
        ):
            body = b"{}" if method == "POST" else b""
            status, answer = await ask(client, method, path, *headers, body=body)
            assert status < 500, (sent, method, path, answer)
    assert not [each for each in caplog.records if each.exc_info and each.name[:8] == "zoetrope"]


async def test_who_guesses_waits_and_the_page_that_is_logged_in_does_not(timed, caplog):
    client, clock = timed
    login = {"data": {"token": TOKEN}, "allow_redirects": False}
    cookie = (await client.post("/login", **login)).headers["Set-Cookie"].partition(";")[0]
    client.session.cookie_jar.clear()
    for number in range(OWN):
        wrong = {"Authorization": f"Bearer {number}"}
        assert (await client.get("/api/v1/jobs", headers=wrong)).status == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    response = await client.get("/api/v1/jobs", headers=right)
    assert response.status == 429
    assert response.headers["Retry-After"] == "30"
    assert (await response.json())["key"] == "too-many-guesses"
    response = await client.post("/login", **login)
    assert response.status == 429
    assert response.headers["Retry-After"] == "30"
    assert 'id="slow" class="why" role="alert">' in await response.text()
    assert (await client.get("/healthz", headers=right)).status == 200
    assert (await client.get("/api/v1/jobs", headers={"Cookie": cookie})).status == 200
    clock.now += OWN_EVERY
    assert (await client.get("/api/v1/jobs", headers=right)).status == 200
    told = [record.getMessage() for record in caplog.records if record.name.endswith("guesses")]
    assert told[0] == f"wrong token from user {os.getuid()} of this host"
    assert len(told) == OWN + 1


async def test_guesses_that_come_at_once_are_no_more_than_one_after_the_other(timed):
    client, _ = timed

    async def guess(number):
        wrong = {"Authorization": f"Bearer {number}"}
        return (await client.get("/api/v1/jobs", headers=wrong)).status

    statuses = await asyncio.gather(*(guess(number) for number in range(40)))
    assert statuses.count(401) == OWN
    assert statuses.count(429) == 40 - OWN


@pytest.mark.parametrize(("sent", "secure"), [("https", True), ("http", False), (None, False)])
async def test_behind_a_proxy_that_speaks_tls_the_cookie_does_not_travel_without_it(
    timed, sent, secure
):
    client, _ = timed
    headers = {} if sent is None else {"X-Forwarded-Proto": sent}
    login = {"data": {"token": TOKEN}, "headers": headers, "allow_redirects": False}
    attributes = (await client.post("/login", **login)).headers["Set-Cookie"].split("; ")
    assert ("Secure" in attributes) is secure


async def test_a_wrong_cookie_is_no_guess(timed):
    client, _ = timed
    for number in range(OWN * 3):
        sent = {"Cookie": f"zoetrope={number}"}
        assert (await client.get("/api/v1/jobs", headers=sent)).status == 401


async def test_a_login_lasts_over_a_restart_and_its_key_is_nobody_elses(serve, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    first = await serve(f'token_file = "{tmp_path}/token"')
    login = {"data": {"token": TOKEN}, "allow_redirects": False}
    cookie = (await first.post("/login", **login)).headers["Set-Cookie"].partition(";")[0]
    second = await serve(f'token_file = "{tmp_path}/token"')
    assert (await second.get("/api/v1/jobs", headers={"Cookie": cookie})).status == 200
    key = tmp_path / "state/login-key"
    assert key.stat().st_mode & 0o777 == 0o600
    (tmp_path / "token").write_text(TOKEN[::-1])
    third = await serve(f'token_file = "{tmp_path}/token"')
    assert (await third.get("/api/v1/jobs", headers={"Cookie": cookie})).status == 401
    key.write_bytes(b"")
    (tmp_path / "token").write_text(TOKEN)
    fourth = await serve(f'token_file = "{tmp_path}/token"')
    assert (await fourth.get("/api/v1/jobs", headers={"Cookie": cookie})).status == 401
