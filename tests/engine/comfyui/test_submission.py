"""Answers to a submission, and whose matter each is."""

import json

import pytest

from tests.fakes.replay import VERSIONS, recording
from zoetrope.engine.comfyui.submission import refusal
from zoetrope.errors import WrongAnswer
from zoetrope.graphs.graph import Node

ID = "9a4ed975-333f-426b-962e-97a79dcdc5d6"
TAKEN = {"prompt_id": ID, "number": 1, "node_errors": {}}


def answered(status, body):
    return refusal(status, body if isinstance(body, bytes) else json.dumps(body).encode(), ID, {})


@pytest.mark.parametrize(
    ("kind", "value", "input_name", "node", "key"),
    [
        ("custom_validation_failed", "zoetrope/a.png", "image", "1", "upload-lost"),
        ("value_not_in_list", "zoetrope/a.png", "image", "1", "upload-lost"),
        ("custom_validation_failed", "others/a.png", "image", "1", "graph-refused"),
        ("custom_validation_failed", ["2", 0], "image", "1", "graph-refused"),
        ("custom_validation_failed", "zoetrope/a.png", "other", "1", "graph-refused"),
        ("custom_validation_failed", "zoetrope/a.png", ["image"], "1", "graph-refused"),
        ("custom_validation_failed", "zoetrope/a.png", "image", "9", "graph-refused"),
        ("invalid_input_type", "zoetrope/a.png", "image", "1", "graph-refused"),
    ],
)
def test_a_file_that_was_uploaded_and_is_not_there_is_no_mistake_of_the_graph(
    kind, value, input_name, node, key
):
    error = {
        "type": kind,
        "message": "Custom validation failed for node",
        "details": f"image - Invalid image file: {value}",
        "extra_info": {"input_name": input_name},
    }
    lost = {node: {"class_type": "LoadImage", "errors": [error]}}
    graph = {"1": Node(class_type="LoadImage", inputs={"image": value})}
    body = json.dumps({"error": {"type": "x"}, "node_errors": lost}).encode()
    assert refusal(400, body, ID, graph).reason.key == key
    # A further mistake is the graph's.
    both = {**lost, "7": node_error("invalid_input_type", "steps")["1"]}
    body = json.dumps({"node_errors": both}).encode()
    assert refusal(400, body, ID, graph).reason.key == "graph-refused"


def node_error(kind: str, name: str, cls: str = "UNETLoader"):
    return {
        "1": {
            "class_type": cls,
            "errors": [
                {
                    "type": kind,
                    "message": "Value not in list",
                    "details": f"{name}: 'x' not in []",
                    "extra_info": {"input_name": name},
                }
            ],
        }
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_what_every_version_answers_to_a_graph_that_it_takes_is_no_refusal(version):
    post = recording(version, "success")["post"]
    data = json.dumps(post["body"]).encode()
    assert refusal(post["status"], data, post["body"]["prompt_id"], {}) is None


@pytest.mark.parametrize(
    ("status", "body", "key"),
    [
        (200, TAKEN, None),
        (200, {**TAKEN, "node_errors": None, "new": [1]}, None),
        (200, {**TAKEN, "prompt_id": "another"}, "engine-old"),
        (200, {"node_errors": node_error("invalid_input_type", "steps")}, "graph-refused"),
        (400, {"node_errors": node_error("value_not_in_list", "unet_name")}, "model-missing"),
        (400, {"node_errors": node_error("value_not_in_list", "sampler_name")}, "graph-refused"),
        (400, {"node_errors": node_error("value_not_in_list", ["unet_name"])}, "graph-refused"),
        (400, {"error": {"type": "missing_node_type", "message": "Node 'X'"}}, "node-missing"),
        (
            400,
            {"error": {"type": "invalid_prompt", "message": "node X does not exist."}},
            "node-missing",
        ),
        (400, {"error": {"type": "invalid_prompt_id", "message": "bad"}}, "graph-refused"),
        (400, {"error": "in plain words"}, "graph-refused"),
        (413, b"Maximum request body size exceeded.", "graph-refused"),
        (413, {"error": {"type": "too_large", "message": "more"}}, "graph-refused"),
    ],
)
def test_refusals_say_whose_matter_they_are(status, body, key):
    found = answered(status, body)
    assert (found.reason.key if found else None) == key


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"500 Internal Server Error"),
        (502, b"<html>Bad Gateway</html>"),
        (302, b""),
        (307, b""),
        (401, b""),
        (403, b""),
        (404, b"<html>"),
        (429, b"slow down"),
    ],
)
def test_a_status_that_is_no_word_about_the_graph_is_neither_taken_nor_refused(status, body):
    with pytest.raises(WrongAnswer, match=f"answered {status} to the submission"):
        answered(status, body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>a proxy's page</html>"),
        (200, {}),
        (200, []),
        (200, {"prompt_id": 7}),
        (200, {**TAKEN, "node_errors": []}),
        (200, {**TAKEN, "node_errors": {"1": []}}),
        (200, {**TAKEN, "node_errors": {"1": {"errors": {}}}}),
        (200, {**TAKEN, "node_errors": {"1": {"errors": ["x"]}}}),
        (200, {**TAKEN, "node_errors": {"1": {"errors": [{"type": 3}]}}}),
        (200, b"[" * 100_000),
        (400, b"Bad Request"),
        (400, {}),
        (400, {"error": [1]}),
        (400, {"error": {"type": None}}),
    ],
)
def test_an_answer_that_cannot_be_right_is_neither_taken_nor_refused(status, body):
    with pytest.raises(WrongAnswer, match="wrong answer about the submission"):
        answered(status, body)


def test_a_reason_is_a_short_line_whatever_is_in_it():
    errors = node_error("\0" * 10**6, "sampler_name", cls={"odd": [1]})
    errors["1"]["errors"][0] |= {
        "details": ["a list"],
        "extra_info": 3,
        "message": "\ud800\n" * 10**6,
    }
    found = answered(400, {"node_errors": errors})
    assert found.reason.key == "graph-refused"
    assert len(found.reason.sentence) < 500
    assert found.reason.sentence.isprintable()
