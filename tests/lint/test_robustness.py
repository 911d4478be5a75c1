"""Whatever is in a graph, the linter answers, and without doing anything twice."""

import contextlib
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lint.case import beside
from tests.lint.cases_prompts import wrapper_nag
from tests.lint.cases_wrapper import compiled, extended, extracted, scheduled, with_late_lora
from tests.lint.graphs import LOW, At, changed, clownshark, full, hero, node, wrapper
from zoetrope.errors import RecipeError
from zoetrope.graphs.document import encode, read
from zoetrope.graphs.graph import Node
from zoetrope.lint.fix import fixed
from zoetrope.lint.linter import lint

CONTEXT = beside(memory_gb=16, ram_gb=32, architecture="sm_86", file="a (2).json", kernels=frozenset(), tags=["faces", "flf", "loop"],
                 picture={"width": 100, "height": 200, "alpha": True}, aspect="9:16",
                 pinned=frozenset())  # fmt: skip

BASES = [
    full(),
    wrapper(),
    clownshark(),
    compiled(),
    extracted(LOW, LOW),
    with_late_lora(),
    scheduled(),
    extended(LOW, "a.safetensors", more="b.safetensors"),
    wrapper_nag("jitter"),
]
PLACES = [(i, n, k) for i, graph in enumerate(BASES) for n in graph for k in graph[n].inputs]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**40),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from([-(10**400), float("nan"), float("inf"), "9" * 5000, -1, 0]),
)
links = st.tuples(
    st.sampled_from([*full(), "nobody", ""]), st.integers(min_value=-2, max_value=5)
).map(list)
values = st.one_of(
    scalars,
    links,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.text(max_size=5), scalars, max_size=2),
)


def never_broken(graph):
    plain = any(not isinstance(node, Node) for node in graph.values())
    found = lint(read(graph, "graph") if plain else graph, CONTEXT)
    assert [finding.found for finding in found if finding.rule == "X001"] == []
    return found


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), values, st.sampled_from(PLACES), values)
def test_any_value_in_any_two_inputs_is_survived(first, one, second, two):
    graph = dict(BASES[first[0]])
    for (_, name, key), value in ((first, one), (second, two)):
        if name in graph:
            old = graph[name]
            graph[name] = Node(class_type=old.class_type, inputs={**old.inputs, key: value})
    never_broken(graph)
    fixed(graph, CONTEXT)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.recursive(scalars, st.lists, max_leaves=5)))
def test_any_document_is_survived_or_answered_with_a_sentence(document):
    with contextlib.suppress(RecipeError):
        never_broken(document)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_rewiring_is_survived(chance):
    graph = encode(full())
    names = list(graph)
    for entry in graph.values():
        for key, value in entry["inputs"].items():
            if isinstance(value, list) and chance.random() < 0.4:
                entry["inputs"][key] = [chance.choice(names), chance.randrange(4)]
    never_broken(graph)


@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**5000), float("nan"), float("inf"), "9" * 5000],
    ids=["huge", "tiny", "nan", "infinite", "digits"],
)
def test_absurd_numbers_in_every_input_at_once_are_survived(value):
    for graph in BASES:
        never_broken(
            {
                name: Node(
                    class_type=old.class_type,
                    inputs={k: v if isinstance(v, list) else value for k, v in old.inputs.items()},
                )
                for name, old in graph.items()
            }
        )


def test_deep_nesting_is_survived():
    deep = []
    for _ in range(50_000):
        deep = [deep]
    graph = changed(hero(), cond__length=deep, cond__width={"__value__": deep})
    meta = {"zoetrope_ignore": deep, "title": deep}
    graph["pos"] = Node(class_type="CLIPTextEncode", inputs=graph["pos"].inputs, meta=meta)
    never_broken(graph)


@pytest.mark.parametrize("length", [20_000])
def test_long_rows_of_models_samplers_and_switches_are_survived(length):
    graph = hero()
    for i in range(length):
        before = At(f"x{i - 1}") if i else At("unet_high")
        kinds = ("LoraLoaderModelOnly", "ComfySwitchNode", "KSampler", "ImageScale", "PrimitiveInt")
        names = ("model", "on_true", "latent_image", "image", "value")
        i_kind = i % len(kinds)
        graph[f"x{i}"] = node(kinds[i_kind], **{names[i_kind]: before, "switch": before})
    never_broken(graph)


def heroes(copies):
    """Many heroes side by side, in plain JSON."""
    one = encode(full())
    return {
        f"{i}-{name}": {
            "class_type": entry["class_type"],
            "inputs": {
                k: [f"{i}-{v[0]}", v[1]] if isinstance(v, list) else v
                for k, v in entry["inputs"].items()
            },
        }
        for i in range(copies)
        for name, entry in one.items()
    }


def test_a_graph_of_five_megabytes_is_linted_wholly():
    graph = heroes(1400)
    graph["1377-cond"]["inputs"]["length"] = 72

    assert len(json.dumps(graph)) > 5_000_000
    assert [f.node for f in never_broken(graph) if f.rule == "F001"] == ["1377-cond"]


def test_prompts_of_megabytes_are_read():
    for text in ("word " * 1_000_000, "(" * 2_000_000, "1" * 2_000_000, "静" * 500_000, "pan,"):
        never_broken(hero(text=text * (1 if len(text) > 9 else 200_000), negative="zoom"))


def calls(graph):
    """Count the calls that linting a graph takes, once everything that is cached is cached."""
    graph = read(graph, "graph")
    lint(graph, CONTEXT)
    count = 0

    def counted(_frame, event, _arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(counted)
    try:
        lint(graph, CONTEXT)
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_with_the_graph_and_no_faster():
    assert calls(heroes(64)) < 9 * calls(heroes(8))
