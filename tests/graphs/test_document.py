"""One reader says what a node, a link and a value of a graph document is; whatever else comes is answered in a sentence."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.errors import RecipeError
from zoetrope.graphs.document import (
    Link,
    Malformed,
    decode,
    encode,
    link_of,
    parse,
    read,
    unwrapped,
)
from zoetrope.graphs.graph import Node

ONE = {"class_type": "VAELoader", "inputs": {"vae_name": "a"}}


def test_a_link_is_a_node_and_an_output_as_comfyui_reads_it():
    assert link_of(["cond", 2]) == Link("cond", 2)
    assert link_of(["cond", -1]) == Link("cond", -1)


@pytest.mark.parametrize(
    "value",
    [None, "cond", [], ["cond"], ["cond", "2"], ["cond", True], ["cond", 1.0], [7, 0], [None, 0],
     [["a"], 0], ("cond", 2), ["cond", 2, 3]],
)  # fmt: skip
def test_what_is_no_link_is_none(value):
    assert link_of(value) is None


def test_a_list_that_is_no_link_is_said_behind_a_key_of_its_own():
    assert unwrapped({"__value__": ["a", 0]}) == ["a", 0]
    assert unwrapped({"__value__": {"__value__": 1}}) == {"__value__": 1}
    assert unwrapped({"value": 1}) == {"value": 1}


def test_a_node_has_its_class_inputs_and_meta_and_nothing_else_is_kept():
    entry = {**ONE, "_meta": {"title": "T"}, "is_changed": ["0"]}
    document = read({"4": entry}, "graph")

    assert document.nodes == {"4": Node(class_type="VAELoader", inputs=ONE["inputs"], meta={"title": "T"})}  # fmt: skip
    assert encode(document.nodes) == {"4": {**ONE, "_meta": {"title": "T"}}}


def test_a_node_without_inputs_is_written_with_none_because_comfyui_wants_the_key():
    assert encode({"a": Node(class_type="Note")}) == {"a": {"class_type": "Note", "inputs": {}}}


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (None, Malformed("is not a node")),
        (3, Malformed("is not a node")),
        ([], Malformed("is not a node")),
        ({}, Malformed("has no class_type")),
        ({"class_type": 3, "_meta": {"title": "T"}}, Malformed("has no class_type", "T")),
        ({"class_type": "X", "_meta": 3}, Malformed("has no inputs")),
        ({"class_type": "X", "inputs": [1]}, Malformed("has inputs that are not an object")),
    ],
)
def test_what_is_no_node_is_noted_with_the_reason(entry, found):
    document = read({"bad": entry, "good": ONE}, "graph")

    assert set(document.nodes) == {"good"}
    assert document.malformed == {"bad": found}
    with pytest.raises(RecipeError, match=f"entry 'bad' {found.reason}"):
        decode(json.dumps({"bad": entry}), "graph")


def test_a_workflow_of_the_page_is_known_by_its_list_of_nodes():
    assert read({"nodes": [], "links": []}, "graph").page_format
    assert not read({"nodes": ONE}, "graph").page_format
    with pytest.raises(RecipeError, match=r"g\.json: this is the page's own format\. Export it with `Export \(API\)`"):  # fmt: skip
        decode('{"nodes": [], "links": []}', "g.json")


def test_a_whole_request_is_read_for_its_graph():
    document = read({"prompt": {"4": ONE}, "client_id": "c", "extra_data": {}}, "graph")

    assert set(document.nodes) == {"4"}
    assert document.request == {"client_id": "c", "extra_data": {}}
    # A node may be called so as well.
    assert set(read({"prompt": ONE}, "graph").nodes) == {"prompt"}
    assert set(read({"prompt": ONE, "4": ONE}, "graph").nodes) == {"prompt", "4"}


def test_ids_that_come_twice_are_named_and_the_last_counts():
    other = json.dumps({**ONE, "inputs": {"vae_name": "b"}})
    text = f'{{"4": {json.dumps(ONE)}, "4": {other}, "5": {other}}}'

    assert parse(text, "graph").twice == ("4",)
    assert parse(text, "graph").nodes["4"].inputs == {"vae_name": "b"}
    assert parse(f'{{"prompt": {text}}}', "graph").twice == ("4",)
    twice_within = json.dumps(ONE).replace("{", '{"class_type": "X", ', 1)
    assert parse(f'{{"4": {twice_within}}}', "graph").twice == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1e999}', "number out of range"),
        ('{"a": "\\ud800"}', "not Unicode"),
        (f'{{"a": 1{"0" * 5000}}}', "not valid JSON"),
        (f'{{"a": 1{"0" * 40}}}', r"allowed is a whole number from -2\^63 to 2\^64-1"),
        ("[" * 10_000 + "]" * 10_000, "nested (?:too deep|deeper)"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested (?:too deep|deeper)"),
        ("[]", "has no object of nodes"),
        ("null", "has no object of nodes"),
        ('"graph"', "has no object of nodes"),
    ],
)
def test_what_is_no_document_is_answered_with_one_sentence(text, words):
    with pytest.raises(RecipeError, match=words) as caught:
        parse(text, "g.json")
    assert str(caught.value).startswith("g.json ")


def test_what_a_server_notes_of_changes_is_not_read():
    node = '{"class_type": "X", "inputs": {}, "is_changed": [NaN]}'

    assert (
        parse(f'{{"4": {node}}}', "graph").nodes
        == read({"4": {"class_type": "X", "inputs": {}}}, "graph").nodes
    )
    for text in (
        f'{{"4": {node}, "5": NaN}}',
        f'{{"4": {node}, "5": "\\ud800"}}',
        '{"is_changed": NaN}',
    ):
        with pytest.raises(RecipeError, match="not valid JSON"):
            parse(text, "graph")


def test_a_hundred_thousand_nodes_are_read():
    graph = {str(i): {"class_type": "X", "inputs": {"a": [str(i - 1), 0]}} for i in range(100_000)}

    assert len(parse(json.dumps(graph), "graph").nodes) == 100_000


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
values = st.recursive(
    st.one_of(scalars, st.tuples(st.text(max_size=3), st.integers(-2, 5)).map(list)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
nodes = st.fixed_dictionaries(
    {"class_type": st.text(max_size=9), "inputs": st.dictionaries(st.text(max_size=5), values)},
    optional={"_meta": st.dictionaries(st.text(max_size=5), values, min_size=1, max_size=2)},
)
graphs = st.dictionaries(st.text(max_size=5).filter(lambda name: name != "nodes"), nodes, max_size=4)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(graphs)
def test_a_graph_that_is_read_and_written_is_the_same(graph):
    text = json.dumps(graph)

    assert encode(decode(text, "graph")) == graph
    assert list(encode(decode(text, "graph"))) == list(graph)


@settings(max_examples=200, deadline=None)
@given(values)
def test_whatever_json_comes_is_taken_apart_or_answered_with_a_sentence(raw):
    if not isinstance(raw, dict):
        with pytest.raises(RecipeError, match="graph is not a workflow"):
            parse(json.dumps(raw), "graph")
        return
    document = parse(json.dumps(raw), "graph")
    assert read(encode(document.nodes), "graph").nodes == document.nodes
