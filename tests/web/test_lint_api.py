"""A graph read over HTTP."""

import io
import json
from pathlib import Path

HERO = Path(__file__).parents[2] / "workflows" / "wan22-i2v-hero" / "workflow.json"


async def read(client, graph, **more):
    return await client.post("/api/v1/lint", json={"graph": graph, **more})


async def stream(client, body):
    headers = {"Content-Type": "application/json"}
    file = io.BytesIO(json.dumps(body).encode())
    return await client.post("/api/v1/lint", data=file, headers=headers)


async def test_findings_come_with_place_reason_and_fix(client):
    graph = json.loads(HERO.read_text())
    graph["ks_low"]["inputs"]["start_at_step"] = 7
    found = (await (await read(client, graph)).json())["findings"]
    assert (found[0]["rule"], found[0]["severity"], found[0]["node"]) == ("S002", "error", "ks_low")
    assert found[0]["why"]
    assert found[0]["changes"][0]["value"] == 5


async def test_what_is_known_beside_the_graph_counts(client):
    graph = json.loads(HERO.read_text())
    rules = {
        f["rule"] for f in (await (await read(client, graph, memory_gb=16)).json())["findings"]
    }
    assert "F005" in rules


async def test_nonsense_is_answered_and_a_large_graph_is_read(client):
    assert (await read(client, [])).status == 400
    assert (await client.post("/api/v1/lint", json={})).status == 400
    assert (await client.post("/api/v1/lint", data=b"{}")).status == 415
    odd = {str(n): {"class_type": "Nothing", "inputs": {"a": [str(n), 0]}} for n in range(20_000)}
    assert (await stream(client, {"graph": odd})).status == 200
    assert (await stream(client, {"graph": {"x": "y" * 9_000_000}})).status == 413
