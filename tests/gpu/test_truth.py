"""What measures on a real GPU is right before it gets one: its graphs, its clock, its record and its page."""

import json
import math

import pytest

from tests.gpu.truth import graphs, table
from tests.gpu.truth.book import Book, Skip
from tests.gpu.truth.comfyui import Way, files, sampler
from tests.gpu.truth.graphs import ROOT, Size
from tests.gpu.truth.weights import header
from zoetrope.graphs.catalog import load
from zoetrope.graphs.fit import faults
from zoetrope.graphs.graph import Node

SIZE = Size(480, 832, 81)


def test_the_page_shows_the_runs_that_are_kept():
    text = table.PAGE.read_text()
    assert table.page(text) == text
    assert "| `sdpa`" in text


def test_a_kept_run_names_no_folder_of_its_machine():
    for file in table.RUNS.glob("*.json"):
        text = file.read_text()
        assert "/home/" not in text
        assert "/work" not in text
        assert "/tmp" not in text


def test_ours_with_the_values_of_faithful_is_the_official_template():
    """By what each node gets, whatever the nodes are called."""
    recipe = json.loads((ROOT / "workflows/wan22-i2v-hero/workflow-i2v-only.json").read_text())
    values = {"steps": 20, "split": 10, "cfg_high": 3.5, "cfg_low": 3.5}
    ours = graphs.hero(SIZE, 7, **values)
    theirs = graphs.official(SIZE, 7, 20, 10, recipe)
    assert _resolved(ours, "save") == _resolved(theirs, "61")


def _resolved(graph, node):
    """Give a node with the nodes that it takes from in the place of their names."""
    made = graph[node]
    inputs = {
        key: _resolved(graph, value[0]) | {"output": value[1]} if isinstance(value, list) else value
        for key, value in made["inputs"].items()
        if key != "filename_prefix"
    }
    return {"class_type": made["class_type"], "inputs": inputs}


@pytest.mark.parametrize(
    "graph",
    [
        graphs.hero(SIZE, 1, steps=4, split=2),
        graphs.lightning(SIZE, 1),
        graphs.official(SIZE, 1, 4, 2, graphs.hero(SIZE, 1)),
    ],
)
def test_every_graph_fits_the_nodes_of_the_pinned_comfyui(graph):
    catalog = load()
    nodes = {key: Node(node["class_type"], node["inputs"]) for key, node in graph.items()}
    for node in nodes.values():
        signature = catalog.nodes[node.class_type]
        assert not set(node.inputs) - set(signature.inputs)
        assert not list(faults(node, signature, nodes, catalog, lambda _: None))


def test_a_step_is_what_lies_between_two_marks_and_the_rest_is_loading():
    assert sampler(100.0, 120.0, [114.0, 118.0]) == {
        "seconds": 20.0,
        "steps": 2,
        "step": 4.0,
        "before": 10.0,
        "after": 2.0,
    }
    assert sampler(0.0, 3.0, [2.0])["step"] is None
    assert sampler(0.0, 3.0, [])["before"] is None


def test_the_way_of_a_graph_is_told_by_its_messages_alone():
    graph = {"a": {"class_type": "VAELoader"}, "b": {"class_type": "KSampler"}}
    way = Way(graph, 0.0)
    said = [
        ("executing", {"node": "a"}, 1.0),
        ("executing", {"node": "b", "prompt_id": "p"}, 2.0),
        ("progress", {"node": "b", "value": 1, "max": 2}, 5.0),
        ("progress", {"node": "b", "value": 9, "prompt_id": "another"}, 5.5),
        ("progress", {"node": "b", "value": 2, "max": 2}, 6.0),
        ("execution_success", {"prompt_id": "another"}, 6.5),
        ("execution_success", {"prompt_id": "p"}, 7.0),
    ]
    for kind, data, at in said:
        way.take({"type": kind, "data": data}, "p", at)
    rows = way.rows()
    assert rows["seconds"] == 7.0
    assert rows["nodes"] == {"KSampler": 5.0, "VAELoader": 1.0}
    assert rows["samplers"]["b"]["steps"] == 2


def test_an_error_of_comfyui_is_the_row_s():
    way = Way({}, 0.0)
    told = {"prompt_id": "p", "node_type": "VAEDecode", "exception_message": "out of memory"}
    way.take({"type": "execution_error", "data": told}, "p", 1.0)
    assert way.error == "VAEDecode: out of memory"


def test_what_a_graph_wrote_is_found_in_its_history():
    saved = {"filename": "a.mp4", "subfolder": "x", "type": "output"}
    shown = {"filename": "b.png", "subfolder": "", "type": "temp"}
    assert files({"outputs": {"1": {"images": [saved, shown]}}}) == ["x/a.mp4"]
    assert files({}) == []


def test_a_row_that_fails_or_lacks_something_keeps_no_other_from_being_measured(tmp_path):
    book = Book(tmp_path / "truth.json", 60, [])

    def fail():
        raise ValueError("broken")

    def skip():
        raise Skip("no GPU")

    book.row("one", 1, fail)
    book.row("two", 1, skip)
    book.row("three", 1, lambda: {"value": 3})
    book.row("four", 100, lambda: {"value": 4})
    rows = json.loads((tmp_path / "truth.json").read_text())["rows"]
    assert rows["one"]["failed"].startswith("ValueError: broken (test_truth.py:")
    assert rows["two"]["absent"] == "no GPU"
    assert rows["three"]["value"] == 3
    assert "it needs 100" in rows["four"]["absent"]


def test_a_run_may_be_made_in_parts(tmp_path):
    file = tmp_path / "truth.json"
    Book(file, 60, ["one"]).row("one", 1, lambda: {"value": 1})
    later = Book(file, 60, ["two"])
    later.row("one", 1, lambda: {"value": 9})
    later.row("two", 1, lambda: {"value": 2})
    rows = json.loads(file.read_text())["rows"]
    assert (rows["one"]["value"], rows["two"]["value"]) == (1, 2)


def test_a_written_model_begins_with_what_says_where_each_tensor_lies():
    entries = [("a", "F8_E4M3", (3, 5), None), ("b", "F32", (1,), None), ("c", "F16", (), None)]
    text, held = header(entries)
    length = int.from_bytes(text[:8], "little")
    said = json.loads(text[8:])
    assert length == len(text) - 8
    assert length % 8 == 0
    assert said["b"] == {"dtype": "F32", "shape": [1], "data_offsets": [15, 19]}
    assert held == 21 == said["c"]["data_offsets"][1]
    assert math.prod(said["c"]["shape"]) == 1
