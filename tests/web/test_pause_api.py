"""Pause and resume over HTTP."""

import pytest

from zoetrope.dispatch.pause import standstill
from zoetrope.domain.hours import parse
from zoetrope.errors import Reason


async def test_a_pause_is_begun_shown_and_ended(client, parts):
    found = await (await client.post("/api/v1/pause")).json()
    assert found["standstill"]["by_user"] is True
    assert found["paused"]["key"] == "paused"
    assert "zoetrope resume" in found["paused"]["next_step"]
    assert found["summary"] == "Paused by a user: no stage starts; engine comfyui is up"
    assert (await (await client.get("/api/v1/status")).json())["standstill"] == found["standstill"]
    text = await (await client.get("/metrics")).text()
    assert "\nzoetrope_stages_paused 1.0\n" in text
    again = await (await client.post("/api/v1/resume")).json()
    assert (again["standstill"], again["paused"]) == (None, None)
    text = await (await client.get("/metrics")).text()
    assert "\nzoetrope_stages_paused 0.0\n" in text


async def test_a_user_has_stages_run_outside_the_hours(client, parts):
    night = parse("22:00-07:00")
    parts.conductor.standstill = standstill(None, night, 43_200.0, lambda _: 0.0)
    found = await (await client.post("/api/v1/resume")).json()
    assert (found["paused"]["key"], found["outside_hours"]) == ("hours", None)
    assert "zoetrope resume --now" in found["paused"]["next_step"]
    assert (await client.post("/api/v1/resume", json={"soon": True})).status == 400
    found = await (await client.post("/api/v1/resume", json={"now": True})).json()
    assert (found["paused"], found["standstill"]) == (None, None)
    assert found["outside_hours"]["sentence"] == "Runs outside the working hours until 22:00."
    assert found["summary"].startswith("Runs outside the working hours until 22:00; idle; engine")
    checks = (await (await client.get("/readyz")).json())["checks"]
    (queue,) = [each for each in checks if each["name"] == "queue"]
    assert (queue["level"], queue["found"][:43]) == (
        "ok",
        "Runs outside the working hours until 22:00.",
    )


async def test_a_pause_may_have_an_end_and_interrupt(client, parts):
    found = await (await client.post("/api/v1/pause", json={"minutes": 90, "now": True})).json()
    standstill = found["standstill"]
    assert standstill["until"] - standstill["since"] == 5400
    assert parts.conductor.interrupted


async def test_a_full_disk_is_said_before_a_pause(client, parts):
    parts.conductor.paused = Reason("disk-full", "The disk is full.", "Free some space.")
    found = await (await client.post("/api/v1/pause")).json()
    assert (found["paused"]["key"], found["standstill"]["by_user"]) == ("disk-full", True)


@pytest.mark.parametrize("body", [{"minutes": 0}, {"minutes": -1}, {"for": 2}, {"now": "yes"}])
async def test_what_a_pause_cannot_be_is_said(client, parts, body):
    answer = await client.post("/api/v1/pause", json=body)
    assert answer.status == 400
    assert parts.conductor.standstill is None


async def test_before_the_ledger_is_open_there_is_nothing_to_pause(client, parts):
    parts.conductor = None
    for path in ("/api/v1/pause", "/api/v1/resume"):
        assert (await client.post(path)).status == 503
