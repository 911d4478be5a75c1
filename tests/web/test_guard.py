import pytest

from zoetrope.errors import SettingsError
from zoetrope.settings import WebSettings
from zoetrope.web.guard import Access, access, host_allowed, origin_allowed

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "listen", "allowed", "right"),
    [
        ("127.0.0.1:8190", "127.0.0.1", (), True),
        ("localhost", "127.0.0.1", (), True),
        ("LOCALHOST:8190", "127.0.0.1", (), True),
        ("[::1]:8190", "127.0.0.1", (), True),
        ("evil.example:8190", "127.0.0.1", (), False),
        ("localhost.evil.example", "127.0.0.1", (), False),
        ("", "127.0.0.1", (), False),
        ("[", "127.0.0.1", (), False),
        ("user@localhost", "127.0.0.1", (), True),
        ("192.168.1.5:8190", "127.0.0.1", (), False),
        ("192.168.1.5:8190", "192.168.1.5", (), True),
        # Listening everywhere: any own address, but no name that could be anybody's.
        ("192.168.1.5:8190", "0.0.0.0", (), True),
        ("gpu.lan:8190", "0.0.0.0", (), False),
        ("gpu.lan:8190", "0.0.0.0", ("gpu.lan",), True),
        ("gpu.lan:9000", "0.0.0.0", ("gpu.lan:8190",), False),
        ("gpu.lan:8190", "0.0.0.0", ("gpu.lan:8190",), True),
    ],
)
def test_only_our_own_names_are_answered(host, listen, allowed, right):
    assert host_allowed(host, Access(listen, allowed)) is right


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({}, True),
        ({"Origin": "http://h:1"}, True),
        ({"Origin": "https://h:1"}, True),  # behind a proxy that speaks TLS
        ({"Origin": "http://h:2"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://h:1"}, True),
    ],
)
def test_only_our_own_page_may_change_something(headers, right):
    assert origin_allowed("h:1", headers) is right


async def test_a_foreign_host_is_turned_away_everywhere(client):
    for path in ("/", "/healthz", "/readyz", "/api/v1/jobs", "/api/v1/events"):
        response = await client.get(path, headers={"Host": "evil.example"})
        assert response.status == 403
        assert (await response.json())["key"] == "host"


async def test_a_foreign_page_cannot_change_anything(client, parts):
    for origin in ("http://evil.example", "null"):
        response = await client.post("/api/v1/jobs/1/cancel", headers={"Origin": origin})
        assert response.status == 403
        assert (await response.json())["key"] == "origin"


async def test_our_own_page_may_change_things(client):
    origin = f"http://{client.server.host}:{client.server.port}"
    response = await client.post("/api/v1/jobs/1/cancel", headers={"Origin": origin})
    assert response.status == 404  # it got as far as looking for the job


async def test_every_answer_carries_the_safe_headers(client):
    for path in ("/", "/healthz", "/api/v1/jobs", "/nowhere"):
        headers = (await client.get(path)).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in headers
        assert "Access-Control-Allow-Origin" not in headers


async def test_with_a_token_everything_but_healthz_needs_it(serve, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    client = await serve(f'token_file = "{tmp_path}/token"')
    assert (await client.get("/healthz")).status == 200
    for path in ("/readyz", "/api/v1/jobs", "/api/v1/events", "/api/v1/status", "/page/main.js"):
        response = await client.get(path)
        assert response.status == 401, path
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert (await response.json())["key"] == "token"
    for wrong in ("Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "Bearer ü"):
        response = await client.get("/api/v1/jobs", headers={"Authorization": wrong})
        assert response.status == 401
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        response = await client.get("/api/v1/jobs", headers={"Authorization": right})
        assert response.status == 200


async def test_a_browser_logs_in_with_the_token_and_stays_so(serve, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    client = await serve(f'token_file = "{tmp_path}/token"')
    response = await client.get("/")
    assert response.url.path == "/login"
    response = await client.post("/login", data={"token": "wrong"})
    assert response.status == 401
    assert (await client.get("/api/v1/jobs")).status == 401
    response = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
    assert response.status == 303
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    client.session.cookie_jar.clear()
    value = cookie.partition("=")[2].partition(";")[0]
    for sent, status in ((value, 200), (value[:-1], 401), (TOKEN, 401)):
        response = await client.get("/api/v1/jobs", headers={"Cookie": f"zoetrope={sent}"})
        assert response.status == status


def test_a_token_that_is_short_or_missing_is_refused_at_the_start(tmp_path):
    file = tmp_path / "token"
    with pytest.raises(SettingsError, match="cannot be read"):
        access(WebSettings(token_file=file))
    file.write_text("short\n")
    with pytest.raises(SettingsError, match="too easy to guess"):
        access(WebSettings(token_file=file))


def test_beyond_loopback_there_is_no_starting_without_a_token():
    with pytest.raises(SettingsError, match=r"web\.token_file is needed"):
        access(WebSettings(listen="0.0.0.0:8190"))
