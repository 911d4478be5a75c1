"""The stream of events is the one that was recorded from a real server."""

import json
from pathlib import Path

import pytest

from tests.engine.simulated.stage import next_event, node, tiny, until_done
from zoetrope.engine.simulated import Fault

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture(scope="module")
def recorded():
    return json.loads((RECORDINGS / "0.27.0.json").read_text())


def shape(events):
    """Reduce events to what has to be equal: kinds, keys, nodes, counts and order."""
    reduced = []
    for event, data in events:
        if event == "status":
            reduced.append((event, data["status"]["exec_info"]["queue_remaining"]))
        elif event == "progress_state":
            states = {
                node_id: (entry["value"], entry["max"], entry["state"], tuple(sorted(entry)))
                for node_id, entry in data["nodes"].items()
            }
            reduced.append((event, states))
        elif event in {"executing", "progress", "executed"}:
            kept = {k: v for k, v in data.items() if k not in {"prompt_id", "output"}}
            reduced.append((event, kept, tuple(sorted(data))))
        else:
            reduced.append((event, tuple(sorted(data)), tuple(data.get("nodes", ()))))
    return reduced


def recorded_shape(run, absent=("3", "4")):
    """Reduce a recorded run; it had two LoRA loaders that these graphs do without."""
    text = json.dumps(run["ws"])
    for node_id in absent:
        text = text.replace(f'"{node_id}", ', "")
    events = [(m["type"], m["data"]) for m in json.loads(text)]
    # The recording client connected before its first run, so that one begins with the greeting.
    return shape(events)


async def test_a_run_with_warm_models_sends_what_the_real_server_sent(client, recorded):
    await client.play(tiny(seed=1))

    played = await client.play(tiny(seed=2))

    assert shape(played.events) == recorded_shape(recorded["success"])
    real = next(iter(recorded["success"]["history"].values()))
    assert set(played.entry) == set(real)
    assert set(played.entry["status"]) == set(real["status"])
    assert [m[0] for m in played.entry["status"]["messages"]] == [
        m[0] for m in real["status"]["messages"]
    ]
    assert played.entry["meta"] == real["meta"]
    assert len(played.entry["prompt"]) == len(real["prompt"])


async def test_a_repeated_graph_runs_nothing_and_names_the_old_file(client, recorded):
    first = await client.play(tiny())
    [path] = client.paths(first)
    path.unlink()

    again = await client.play(tiny())

    greeting = [("status", 0)]
    assert shape(again.events) == greeting + recorded_shape(recorded["all_cached"])
    assert again.outputs == first.outputs


async def test_an_exhausted_card_ends_a_run_as_recorded(client, recorded):
    graph = tiny()
    await client.play(graph)
    graph["30"] = node("ImageScaleBy", image=["15", 0], upscale_method="area", scale_by=1.0)
    graph["16"]["inputs"]["images"] = ["30", 0]
    client.engine.faults.order(Fault("oom", node="ImageScaleBy"))

    played = await client.play(graph)

    assert shape(played.events) == [("status", 0), *recorded_shape(recorded["oom"])]
    real = next(d for m, d in _messages(recorded["oom"]) if m == "execution_error")
    mine = played.last[1]
    for key in ("node_id", "exception_message", "exception_type", "executed"):
        assert mine[key] == real[key]
    assert set(mine["current_outputs"]) == set(graph)
    assert isinstance(mine["traceback"], list)
    assert set(mine["current_inputs"]) == set(graph["30"]["inputs"])
    assert played.outputs == {}
    assert played.entry["status"]["status_str"] == "error"
    assert played.entry["status"]["completed"] is False


async def test_an_interrupted_run_ends_as_recorded(start, recorded):
    client = await start(step_seconds=0.01)
    graph = tiny()
    await client.play(graph)
    async with await client.listen() as socket:
        await next_event(socket, "status")
        graph = tiny(seed=8, _13={"steps": 500, "end_at_step": 500})
        prompt_id = await client.submit(graph)
        events = []
        while not events or events[-1][0] != "progress":
            events.append(await next_event(socket))
        assert await client.post("/interrupt", json={"prompt_id": prompt_id}) == (200, b"")
        events += await until_done(socket, prompt_id)

    told = [e for e in events if e[0] not in {"progress", "progress_state"}]
    assert shape(told) == recorded_shape(recorded["interrupted"])
    entry = await client.ended(prompt_id)
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    assert set(entry["status"]["messages"][-1][1]) == set(_messages(recorded["interrupted"])[-1][1])


async def test_a_cold_run_takes_the_nodes_in_the_real_servers_order(client):
    played = await client.play(tiny())

    order = [data["node"] for data in played.of("executing")[:-1]]
    assert order == [str(n) for n in (10, 11, 7, 9, 8, 12, 1, 5, 13, 2, 6, 14, 15, 16, 17)]


async def test_events_go_to_the_clients_own_socket_only(client):
    async with await client.listen("somebody else") as other:
        await client.play(tiny())
        async with await client.listen("late"):
            kinds = {(await next_event(other))[0] for _ in range(4)}

    assert kinds == {"status"}


async def test_a_second_socket_takes_the_stream_and_the_first_stays_silent(start):
    client = await start(step_seconds=0.005)
    async with await client.listen() as first:
        await next_event(first, "status")
        prompt_id = await client.submit(tiny(_13={"steps": 60, "end_at_step": 60}))
        await next_event(first, "progress")
        async with await client.listen() as second:
            greeting = await next_event(second)
            current = await next_event(second)
            await until_done(second, prompt_id)
        with pytest.raises(TimeoutError):
            await first.receive(timeout=0.02) and await _drain(first)

    assert greeting[0] == "status"
    assert current == ("executing", {"node": "13"})


async def _drain(socket):
    """Read what came before the second socket did; then there is nothing more to wait for."""
    while True:
        await socket.receive(timeout=0.02)


async def test_without_a_client_a_cached_run_has_no_outputs(client):
    await client.play(tiny())
    _, answer = await client.post("/prompt", json={"prompt": tiny()})

    entry = await client.ended(answer["prompt_id"])

    assert entry["status"]["completed"] is True
    assert entry["outputs"] == {}


def _messages(run):
    return [tuple(m) for m in next(iter(run["history"].values()))["status"]["messages"]]
