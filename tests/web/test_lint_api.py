"""A graph read over HTTP."""

import io
import json
from pathlib import Path

import msgspec
import pytest

from tests.web.fakes import WorkerStatus
from zoetrope.engine.protocol import Stats
from zoetrope.graphs.shelf import Recipes
from zoetrope.settings import EngineSettings

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


async def test_a_graph_is_read_for_the_engines_own_cards_and_kernels(client, parts, tmp_path):
    upscale = json.loads(HERO.with_name("workflow-upscale-only.json").read_text())
    report = tmp_path / "0.json"
    kernels = [{"name": "sdpa", "verdict": "ok"}]
    report.write_text(json.dumps({"schema": 1, "kernels": kernels, "capability": "8.6"}))
    first, second = EngineSettings(name="a", report=report), EngineSettings(name="b")
    parts.settings = msgspec.structs.replace(parts.settings, engines=(first, second))
    parts.conductor.workers = [WorkerStatus(name="a"), WorkerStatus(name="b")]
    findings = (await (await read(client, upscale)).json())["findings"]
    (found,) = [each for each in findings if each["rule"] == "U010"]
    assert found["engines"] == ["a"]
    known = (await (await read(client, upscale, memory_gb=16)).json())["findings"]
    assert "U010" not in {each["rule"] for each in known}


async def test_before_an_engine_is_known_a_graph_is_read_all_the_same(client, parts):
    parts.conductor.workers = []
    assert (await read(client, json.loads(HERO.read_text()))).status == 200


async def test_nonsense_is_answered_and_a_large_graph_is_read(client):
    assert (await read(client, [])).status == 400
    assert (await client.post("/api/v1/lint", json={})).status == 400
    assert (await client.post("/api/v1/lint", data=b"{}")).status == 415
    odd = {str(n): {"class_type": "Nothing", "inputs": {"a": [str(n), 0]}} for n in range(20_000)}
    assert (await stream(client, {"graph": odd})).status == 200
    assert (await stream(client, {"graph": {"x": "y" * 9_000_000}})).status == 413


def placed(answer):
    return [(each["stage"], each["rule"], each["severity"]) for each in answer["findings"]]


async def ask(client, ticket, **more):
    return await client.post("/api/v1/lint", json={"ticket": ticket, **more})


async def test_a_ticket_is_read_in_every_stage_with_all_that_a_person_needs(client):
    answer = await ask(client, {"recipe": "tiny", "prompt": "A room (16:9) with a drum."})
    assert answer.status == 200
    found = (await answer.json())["findings"]
    first = found[0]
    assert (first["stage"], first["rule"], first["severity"]) == ("i2v", "P001", "error")
    assert first["about"] == "ratio in brackets"
    assert "'(16:9)'" in first["found"]
    assert first["node"]
    assert first["why"]
    assert first["fix"]
    assert {each["stage"] for each in found} <= {"i2v", "upscale"}


async def test_null_is_as_good_as_left_out(client):
    said = {"recipe": "tiny", "prompt": "She turns."}
    plain = await (await ask(client, said)).json()
    nulls = await ask(client, said, graph=None, picture=None, memory_gb=None)
    assert await nulls.json() == plain


async def test_what_is_mended_in_a_ticket_is_found_no_more(client):
    said = {"recipe": "tiny", "prompt": "A room, 16:9, with a drum."}
    mended = await (await ask(client, said)).json()
    assert not any(rule == "P001" for _, rule, _ in placed(mended))
    assert mended["nodes"] > 20


async def test_parameters_may_stand_beside_the_keys_or_under_their_own(client):
    said = {"recipe": "tiny", "prompt": "She turns."}
    plain = await (await ask(client, said)).json()
    beside = await (await ask(client, said | {"cfg": 9.5})).json()
    under = await (await ask(client, said | {"parameters": {"cfg": 9.5}})).json()
    assert beside == under != plain


async def test_the_picture_counts_where_its_size_is_known(client):
    said = {"recipe": "tiny", "prompt": "She turns."}
    blind = await (await ask(client, said)).json()
    seen = await (await ask(client, said, picture={"width": 900, "height": 1600})).json()
    assert not any(rule == "F007" for _, rule, _ in placed(blind))
    assert ("i2v", "F007", "info") in placed(seen)


async def test_corrections_of_the_ticket_are_told(client):
    said = {"recipe": "tiny", "prompt": "She turns.", "frames": 6}
    assert (await (await ask(client, said)).json())["notes"] == [
        "6 frames became 5: the model generates 4n+1."
    ]


async def test_what_is_found_on_one_engine_alone_names_it(client, parts):
    small = Stats(version="0.27.1", vram_total=16 * 2**30, vram_free=0)
    large = Stats(version="0.27.1", vram_total=96 * 2**30, vram_free=0)
    parts.conductor.workers = [
        WorkerStatus(name="small", stats=small),
        WorkerStatus(name="large", stats=large),
    ]
    parts.recipes = Recipes((HERO.parents[1],))
    said = {"recipe": "wan22-i2v-hero", "prompt": "She turns.", "width": 1280, "height": 720}
    found = (await (await ask(client, said)).json())["findings"]
    engines = {each["rule"]: each["engines"] for each in found}
    assert engines["F005"] == ["small"]
    assert engines["S009"] == []
    alone = (await (await ask(client, said, memory_gb=96)).json())["findings"]
    assert "F005" not in {each["rule"] for each in alone}


async def test_what_an_operator_ignores_is_not_told(serve, tmp_path):
    said = {"recipe": "tiny", "prompt": "A room (16:9)."}
    client = await serve('[lint]\nignore = { P001 = "our engine does not weigh" }')
    assert not any(rule == "P001" for _, rule, _ in placed(await (await ask(client, said)).json()))  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "neither a graph nor a ticket"),
        ({"graph": {}, "ticket": {}}, "both of them"),
        ({"ticket": {"prompt": 7}}, "prompt: found 7, allowed is a text"),
        ({"ticket": "a cat"}, "ticket: found 'a cat', a table is allowed here"),
        ({"ticket": {}, "picture": {"width": 0, "height": 9}}, "picture.width: found 0"),
        ({"ticket": {}, "picture": {"width": 9}}, "`height` is missing"),
        ({"ticket": {}, "tags": ["slow-motion"]}, "A ticket has no tags"),
        ({"tikcet": {}}, "did you mean `ticket`?"),
    ],
)
async def test_what_cannot_be_understood_is_told(client, body, words):
    answer = await client.post("/api/v1/lint", json=body)
    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    problem = await answer.json()
    assert words in problem["detail"]
    assert problem["next_step"] or "did you mean" in words


@pytest.mark.parametrize(
    ("ticket", "key", "words"),
    [
        ({"recipe": "tyni"}, "recipe-unknown", "did you mean `tiny`?"),
        ({"recipe": "tiny", "preset": "calm"}, "ticket-value", "has no preset"),
        ({"recipe": "tiny", "parameters": {"steps": 1000}}, "ticket-value", "from 2 to 100"),
        ({"recipe": "tiny", "stesp": 7}, "ticket-key", "did you mean `steps`?"),
        ({"recipe": "tiny", "seconds": 3000}, "ticket-value", "out of range"),
        ({"recipe": "tiny", "seed": -1}, "ticket-value", "seed"),
    ],
)
async def test_what_a_job_would_be_refused_for_is_told_in_the_same_words(
    client, ticket, key, words
):
    answer = await (await ask(client, ticket)).json()
    assert answer["refusal"]["key"] == key
    assert words in answer["refusal"]["sentence"] + answer["refusal"]["next_step"]
    assert answer["findings"] == []


async def test_a_service_that_is_still_starting_says_so(client, parts):
    parts.recipes = None
    assert (await ask(client, {"recipe": "tiny"})).status == 503
    parts.conductor = None
    assert (await ask(client, {"recipe": "tiny"})).status == 503
