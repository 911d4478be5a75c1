"""A lint costs what its graph's size is worth, and ends when it costs more or when nobody waits."""

import itertools
import sys

import pytest

from tests.lint.case import beside
from tests.lint.graphs import hero
from zoetrope.graphs.graph import Node
from zoetrope.lint.effort import MOST, Abandoned, Effort
from zoetrope.lint.linter import lint


def node(class_type, **inputs):
    return Node(class_type=class_type, inputs=inputs)


def samplers(count):
    return {str(n): node("KSampler", model=[str(n + 1), 0]) for n in range(count)}


def loras(count):
    names = ["unet", *(f"l{n}" for n in range(count))]
    graph = {"unet": node("UNETLoader", unet_name="wan2.2_i2v_high_noise_14B.safetensors")}
    for above, name in itertools.pairwise(names):
        graph[name] = node("LoraLoaderModelOnly", model=[above, 0], lora_name=f"{name}.safetensors")
        graph[f"k{name}"] = node("KSampler", model=[name, 0])
    return graph


def conditionings(count):
    names = ["text", *(f"c{n}" for n in range(count))]
    graph = {"text": node("CLIPTextEncode", text="A cat.")}
    for above, name in itertools.pairwise(names):
        graph[name] = node(
            "ConditioningCombine", conditioning_1=[above, 0], conditioning_2=["text", 0]
        )
        graph[f"k{name}"] = node("KSampler", positive=[name, 0])
    return graph


def calls(graph):
    """Count the calls of functions in Python that a lint makes: a clock would count the host's other work."""
    count = 0

    def called(_frame, event, _arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        lint(graph, beside())
    finally:
        sys.setprofile(None)
    return count


def test_a_long_row_of_samplers_costs_each_of_them_the_same():
    lint(samplers(1), beside())  # what is read once for all lints
    assert calls(samplers(400)) / 400 < 1.5 * calls(samplers(100)) / 100


@pytest.mark.parametrize("graph", [loras(1000), conditionings(1000), samplers(20_000)])
def test_a_graph_whose_rules_have_no_end_is_left_with_a_word_about_it(graph):
    effort = Effort()
    found = lint(graph, beside(), effort=effort)
    (said,) = [each for each in found if each.rule == "X003"]
    assert said.severity == "warn", "a graph is not rejected for its size"
    assert "too large" in said.found
    assert "X001" not in {each.rule for each in found}
    assert effort.looks < 1.1 * MOST


def test_a_graph_of_the_recipes_takes_a_small_part_of_the_effort():
    effort = Effort()
    lint(hero(), beside(), effort=effort)
    assert 0 < effort.looks < MOST / 50


def test_findings_until_then_are_given():
    whole = Effort()
    lint(samplers(4), beside(), effort=whole)
    short = Effort(whole.looks - 1)
    found = {each.rule for each in lint(samplers(4), beside(), effort=short)}
    assert "X003" in found
    assert len(found) > 1


def test_a_lint_that_nobody_waits_for_ends():
    looks = iter([False, False, True])
    with pytest.raises(Abandoned):
        lint(hero(), beside(), effort=Effort(abandoned=lambda: next(looks)))
    assert next(looks, None) is None
