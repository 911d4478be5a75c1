"""Values are followed through constants, formulas and switches, and never without end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lint.graphs import At, changed, hero, node
from zoetrope.graphs import catalog
from zoetrope.graphs.document import Link
from zoetrope.lint.graph_view import GraphView, as_number


def view(graph):
    return GraphView(graph, catalog.load())


def switched(on):
    return {
        "flag": node("PrimitiveBoolean", value=on),
        "a": node("PrimitiveInt", value=20),
        "b": node("PrimitiveInt", value=4),
        "chosen": node("ComfySwitchNode", switch=At("flag"), on_false=At("a"), on_true=At("b")),
        "ks": node("KSampler", steps=At("chosen")),
    }


def test_a_value_is_what_the_node_says():
    assert view(hero()).value("ks_high", "cfg") == 3.5


def test_a_value_that_is_left_out_is_the_default():
    assert view({"dit": node("SeedVR2LoadDiTModel")}).value("dit", "blocks_to_swap") == 0
    assert view({"x": node("Nobody")}).value("x", "y") is None


@pytest.mark.parametrize(
    ("class_type", "name", "value"),
    [
        ("PrimitiveInt", "value", 9),
        ("PrimitiveFloat", "value", 1.5),
        ("INTConstant", "value", 3),
        ("PrimitiveStringMultiline", "value", "a text"),
        ("StringConstant", "string", "a text"),
    ],
)
def test_a_constant_is_followed(class_type, name, value):
    graph = {"c": node(class_type, **{name: value}), "x": node("KSampler", steps=At("c"))}
    assert view(graph).value("x", "steps") == value


@pytest.mark.parametrize(("on", "steps"), [(True, 4), (False, 20)])
def test_a_switch_gives_what_it_is_set_to(on, steps):
    assert view(switched(on)).number("ks", "steps") == steps


def test_a_switch_that_nobody_knows_gives_nothing():
    graph = changed(switched(True), flag=node("Somebody"))
    assert view(graph).value("ks", "steps") is None


def test_models_are_followed_through_switches():
    graph = {
        "bare": node("UNETLoader"),
        "lora": node("LoraLoaderModelOnly", model=At("bare")),
        "chosen": node("ComfySwitchNode", switch=True, on_false=At("bare"), on_true=At("lora")),
        "ks": node("KSampler", model=At("chosen")),
    }
    assert view(graph).source("ks", "model") == Link("lora", 0)


@pytest.mark.parametrize(("slot", "value"), [(0, 81.5), (1, 81), (2, True)])
def test_a_formula_is_worked_out_for_the_output_that_is_used(slot, value):
    graph = {
        "seconds": node("PrimitiveFloat", value=5.03125),
        "f": node("ComfyMathExpression", **{"expression": "a * 16 + 1", "values.a": At("seconds")}),
        "x": node("WanImageToVideo", length=At(f"f:{slot}")),
    }
    assert view(graph).value("x", "length") == value


def test_formulas_upon_formulas_cost_no_more_than_their_number():
    graph = {"f0": node("PrimitiveInt", value=1)}
    for i in range(1, 60):
        below = At(f"f{i - 1}")
        graph[f"f{i}"] = node(
            "ComfyMathExpression",
            **{"expression": "max(a, b)", "values.a": below, "values.b": below},
        )
    graph["x"] = node("KSampler", steps=At("f29:1"))
    assert view(graph).number("x", "steps") == 1


def test_circles_have_an_end():
    graph = {
        "a": node("PrimitiveInt", value=At("b")),
        "b": node("PrimitiveInt", value=At("a")),
        "s": node("ComfySwitchNode", switch=At("s"), on_false=At("s"), on_true=At("s")),
    }
    found = view(graph)
    assert found.value("a", "value") is None
    assert found.source("s", "on_true") is None


def test_links_to_nobody_are_no_sources():
    graph = changed(hero(), decode__vae=At("nobody"))
    assert view(graph).source("decode", "vae") is None
    assert not view(graph).linked("decode", "vae")
    assert "vae" not in dict(view(graph).links("decode"))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (81, 81),
        ("81", 81),
        ("1.5", 1.5),
        (True, 1),
        (float("nan"), None),
        (float("inf"), None),
        ("nan", None),
        (10**400, None),
        ("9" * 5000, None),
        ("", None),
        (None, None),
        ([1], None),
    ],
)
def test_numbers_are_read_as_the_server_reads_them_and_absurd_ones_are_none(value, number):
    assert as_number(value) == number


@settings(deadline=None)
@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans()))
def test_no_value_makes_reading_a_number_fail(value):
    as_number(value)


@pytest.mark.parametrize(
    "inputs",
    [
        {"expression": "a +", "values.a": 1},
        {"expression": "a", "values.a": At("nobody")},
        {"expression": At("nobody"), "values.a": 1},
    ],
)
def test_a_formula_that_cannot_be_worked_out_gives_nothing(inputs):
    graph = {"f": node("ComfyMathExpression", **inputs), "x": node("KSampler", steps=At("f:1"))}
    assert view(graph).value("x", "steps") is None


def test_words_that_mean_true_or_false_are_read_as_such():
    found = view({"x": node("X", a="enable", b="disable", c=1, d="maybe")})
    assert [found.flag("x", name) for name in "abcde"] == [True, False, True, None, None]


def test_a_missing_input_and_a_link_to_nobody_both_dangle_and_a_value_does_not():
    found = view({"x": node("X", a=At("nobody"), b=1, c=At("x"))})
    assert [found.dangles("x", name) for name in "abcd"] == [True, False, False, True]
