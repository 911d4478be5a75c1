"""What ComfyUI says over its WebSocket, on three recorded versions, and what is no event."""

import json

import pytest

from tests.fakes.replay import VERSIONS, recording
from zoetrope.engine.comfyui.events import Executed, Over, event
from zoetrope.engine.protocol import Cached, Interrupted, Output, PromptFailed, Started, Step


def heard(kind: str, **data):
    found = event(json.dumps({"type": kind, "data": {"prompt_id": "p", **data}}))
    assert found is None or found[0] == "p"
    return found and found[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_run_is_heard_from_start_to_end(version):
    run = recording(version, "success")
    events = [event(json.dumps(message)) for message in run["ws"]]
    assert {found[0] for found in events if found} == set(run["history"])
    said = [found[1] for found in events if found]
    assert said[0] == Started()
    assert isinstance(said[1], Cached)
    assert sum(isinstance(one, Step) for one in said) > 3
    (saved,) = [one for one in said if isinstance(one, Executed)]
    assert saved.outputs[0].node == "17"
    assert said[-2:] == [Over(well=True), Over()]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_end_says_how(version):
    def last(run):
        found = [event(json.dumps(message)) for message in recording(version, run)["ws"]]
        return [said for _, said in filter(None, found) if isinstance(said, Over) and said.how]

    (failed,) = last("oom")
    assert isinstance(failed.how, PromptFailed)
    assert failed.how.failure.kind == "oom"
    assert last("interrupted") == [Over(Interrupted())]


def test_progress_names_the_running_node_and_what_is_finished():
    nodes = {
        "a": {"value": 1, "max": 1, "state": "finished"},
        "b": {"value": 2, "max": 4, "state": "running", "new": {}},
    }
    assert heard("progress_state", nodes=nodes) == Step("b", 2, 4, ("a",))
    assert heard("progress_state", nodes={"a": nodes["a"]}) == Step("", finished=("a",))
    assert heard("execution_cached", nodes=["a", 3, None]) == Cached(("a",))
    assert heard("executed", node="a", output=None) == Executed(())


@pytest.mark.parametrize(
    ("value", "most", "step"),
    [
        ("NaN", "4", (0, 4)),
        ("2", "NaN", (0, 0)),
        ("1e999", "Infinity", (0, 0)),
        ("-3", "4", (0, 4)),
        ("9", "4", (4, 4)),
        ("2", "-4", (0, 0)),
    ],
)
def test_progress_can_always_be_counted_with(value, most, step):
    node = f'{{"state": "running", "value": {value}, "max": {most}}}'
    text = f'{{"type": "progress_state", "data": {{"prompt_id": "p", "nodes": {{"n": {node}}}}}}}'
    assert event(text) == ("p", Step("n", *step))


def test_files_are_heard_of_as_soon_as_they_are_written():
    output = {"images": [{"filename": "a.mp4", "subfolder": "z", "type": "output"}]}
    assert heard("executed", node="17", output=output) == Executed((Output("17", "a.mp4", "z"),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "3",
        '{"type": "status", "data": {"status": {}}}',
        '{"type": "status"}',
        '{"type": 3, "data": {"prompt_id": "p"}}',
        '{"type": "execution_start", "data": []}',
        '{"type": "execution_start", "data": {"prompt_id": 3}}',
        '{"type": "execution_start", "data": {"prompt_id": ["p"]}}',
        '{"type": "something_new", "data": {"prompt_id": "p"}}',
        '{"type": "executing", "data": {"prompt_id": "p", "node": "13"}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": []}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"a": 3}}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"a": {"state": 1}}}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {}}}',
        '{"type": "executed", "data": {"prompt_id": "p", "node": 1, "output": {"a": [{"filename": 1}]}}}',
        '{"type": "execution_start", "data": {"prompt_id": "\\ud800"}}',
        '{"type": "executed", "data": {"prompt_id": "p", "node": "\\ud800", "output": {}}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"\\ud800": 1}}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"a": {"max": "\\ud800"}}}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        b"\x00\x00\x00\x01\xff\xd8",
        b"\x00\x00",
        b"",
        b"\xff" * 64,
    ],
)
def test_what_is_no_event_of_a_prompt_is_passed_over(text):
    assert event(text) is None
