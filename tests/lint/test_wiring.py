"""Documents are taken apart whatever is in them, and links are read as the server reads them."""

import pytest

from zoetrope.graphs.graph import Node
from zoetrope.lint.wiring import Link, fits, link_of, read


def test_a_link_is_a_node_and_an_output():
    assert link_of(["cond", 2]) == Link("cond", 2)
    assert link_of([7, 0]) == Link("7", 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "cond",
        [],
        ["cond"],
        ["cond", "2"],
        ["cond", True],
        ["cond", 1.0],
        [None, 0],
        [["a"], 0],
    ],
)
def test_what_is_no_link_is_none(value):
    assert link_of(value) is None


@pytest.mark.parametrize(
    ("given", "wanted", "fit"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("COMFY_MATCHTYPE_V3", "MODEL", True),
        ("INT", "FLOAT,INT", True),
        ("STRING", "FLOAT,INT", False),
    ],
)
def test_outputs_fit_inputs_of_their_type(given, wanted, fit):
    assert fits(given, wanted) is fit


def test_nodes_are_read_from_plain_json_and_kept_when_they_are_read_already():
    ready = Node(class_type="VAELoader")
    wiring = read(
        {"a": {"class_type": "X", "inputs": {"b": 1}, "_meta": {"title": "T"}}, "b": ready}
    )

    assert wiring.nodes["a"] == Node(class_type="X", inputs={"b": 1}, meta={"title": "T"})
    assert wiring.nodes["b"] is ready
    assert not wiring.malformed


@pytest.mark.parametrize(
    "entry", [None, 3, [], {}, {"class_type": 3}, {"class_type": "X", "inputs": [1]}]
)
def test_what_is_no_node_is_told_with_the_reason(entry):
    wiring = read({"bad": entry, "good": {"class_type": "X"}})

    assert set(wiring.nodes) == {"good"}
    assert wiring.malformed["bad"]


def test_a_workflow_of_the_page_is_known_by_its_list_of_nodes():
    assert read({"nodes": [], "links": []}).page_format
    assert not read({"nodes": {"class_type": "X"}}).page_format
