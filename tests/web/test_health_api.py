import time

from zoetrope.errors import Reason


async def test_healthz_says_that_the_process_lives(client):
    response = await client.get("/healthz")
    assert response.status == 200
    assert await response.json() == {"status": "alive"}


async def test_readyz_gives_every_checks_verdict(client):
    response = await client.get("/readyz")
    body = await response.json()
    assert response.status == 200
    assert body["level"] == "ok"
    assert [check["name"] for check in body["checks"]] == [
        "engine",
        "inbox",
        "outbox",
        "ledger",
        "disk",
        "queue",
        "clock",
    ]


async def test_a_degraded_service_is_still_ready(client, parts):
    parts.conductor.paused = Reason("disk-full", "The disk is full.", "Free some space.")
    response = await client.get("/readyz")
    assert response.status == 200
    body = await response.json()
    assert body["level"] == "degraded"
    assert {check["name"]: check["next_step"] for check in body["checks"]}["queue"] == (
        "Free some space."
    )


async def test_a_failing_service_is_not_ready_and_says_what_to_do(client, parts):
    parts.conductor.workers[0].up = False
    parts.conductor.workers[0].since = time.time() - 120
    response = await client.get("/readyz?format=text")
    assert response.status == 503
    assert response.content_type == "text/plain"
    text = await response.text()
    assert text.startswith("failing\n")
    assert "comfyui at http://127.0.0.1:8188 is down for 2 min" in text
    assert "next: Start it" in text


async def test_the_status_holds_what_the_pages_head_needs(client, parts):
    parts.watcher.status.unreadable = ("a.png",)
    body = await (await client.get("/api/v1/status")).json()
    assert body["summary"] == "idle; engine comfyui is up"
    assert body["counts"]["queued"] == 0
    assert body["engines"][0]["device"] == "RTX 5080"
    assert body["inbox"]["unreadable"] == ["a.png"]
    assert body["problem"] is None
