"""Recipes, the linter and the simulated engine read a document alike, and refuse the same ones."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.simulated.stage import tiny
from zoetrope.engine.simulated.models import DEFAULT_MODELS
from zoetrope.engine.simulated.validate import Lists, validate
from zoetrope.errors import RecipeError
from zoetrope.graphs import catalog
from zoetrope.graphs.document import decode, parse
from zoetrope.lint.facts import pinned_context
from zoetrope.lint.linter import lint

PINNED = catalog.load()
CONTEXT = pinned_context()
LISTS = Lists(lambda folder: list(DEFAULT_MODELS.get(folder, ())), lambda _name: True)
# What the server itself would say of a graph; all other rules know better than it.
THE_SERVERS = {"Z001", "Z002", "Z003", "Z004", "Z006", "Z011"}

PLACES = [
    (node_id, name)
    for node_id, node in tiny().items()
    for name, item in PINNED.nodes[node["class_type"]].inputs.items()
    if not item.files
] + [(node_id, "undeclared") for node_id in tiny()]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "64", "1e3", "nan", "-inf", "euler", "enable", "simple", "wan", "default"]
    ),
    st.text(max_size=5),
)
links = st.tuples(
    st.sampled_from([*tiny(), "nobody", 7, None]),
    st.sampled_from([0, 1, 2, 3, -1, 1.0, True, "0"]),
).map(list)
values = st.one_of(
    scalars,
    links,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["__value__", "a"]), st.one_of(scalars, links), max_size=2),
)
LEFT_OUT = object()


def refused_by_engine(text):
    verdict = validate(parse(text, "graph"), PINNED, LISTS, None)
    return verdict.error is not None or bool(verdict.node_errors)


def refused_by_linter(text):
    return {f.rule for f in lint(parse(text, "graph"), CONTEXT)} & THE_SERVERS


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(PLACES), st.one_of(values, st.just(LEFT_OUT)))
def test_linter_and_simulated_engine_refuse_the_same_inputs(place, value):
    node_id, name = place
    # A circle through inputs that nobody declares is for the linter alone to find.
    if name == "undeclared" and isinstance(value, list) and value[:1] != ["nobody"]:
        return
    graph = tiny()
    if value is LEFT_OUT:
        graph[node_id]["inputs"].pop(name, None)
    else:
        graph[node_id]["inputs"][name] = value
    text = json.dumps(graph)

    assert refused_by_engine(text) == bool(refused_by_linter(text))


@pytest.mark.parametrize(
    "change",
    [
        None,
        {},
        [],
        "VAELoader",
        {"class_type": None, "inputs": {}},
        {"class_type": "VAELoader"},
        {"class_type": "VAELoader", "inputs": []},
        {"class_type": "Nobody", "inputs": {}},
    ],
)
def test_what_is_no_node_is_refused_by_all_three(change):
    text = json.dumps({**tiny(), "10": change})

    assert refused_by_engine(text)
    assert refused_by_linter(text) & {"Z001", "Z003"}
    if isinstance(change, dict) and change.get("class_type") == "Nobody":
        return  # a recipe may need nodes that are recorded nowhere
    with pytest.raises(RecipeError, match="entry '10'"):
        decode(text, "graph")


def test_all_three_read_the_same_nodes():
    graph = copy.deepcopy(tiny())
    graph["10"] |= {"is_changed": ["x"], "_meta": {"title": "VAE"}}
    text = json.dumps({"prompt": graph, "extra_data": {"extra_pnginfo": {}}})

    nodes = decode(text, "graph")
    assert validate(parse(text, "graph"), PINNED, LISTS, None).graph == nodes
    assert not refused_by_linter(text)
    assert nodes["10"].meta == {"title": "VAE"}


def test_a_page_of_comfyuis_own_format_is_refused_by_all_three():
    text = json.dumps({"nodes": [{"id": 1, "type": "LoadImage"}], "links": []})

    assert refused_by_engine(text)
    assert refused_by_linter(text) == {"Z003"}
    with pytest.raises(RecipeError, match="page's own format"):
        decode(text, "graph")
