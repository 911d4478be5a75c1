"""Mending is pure, leaves alone what it should, and does in one go what has one answer."""

import pytest

from tests.lint.case import beside
from tests.lint.graphs import HIGH, LOW, At, changed, control, full, hero
from zoetrope.graphs.graph import Node, digest
from zoetrope.lint.findings import DropInput, Put, SwapNode
from zoetrope.lint.fix import changed as mended_node
from zoetrope.lint.fix import fixed
from zoetrope.lint.linter import lint


def test_a_sound_graph_stays_as_it_is():
    result = fixed(hero(), beside())
    assert result.graph == hero()
    assert result.findings == ()


def test_the_graph_that_is_given_is_not_changed():
    graph = changed(full(), cond__length=72, dit__offload_device="none")
    before = digest(graph)
    fixed(graph, beside())
    assert digest(graph) == before


def test_many_faults_are_mended_together():
    graph = changed(
        full(),
        cond__length=72,
        cond__width=500,
        ks_low__start_at_step=7,
        ks_low__add_noise="enable",
        ks_high__return_with_leftover_noise="disable",
        ks_low__return_with_leftover_noise="enable",
        upscale__batch_size=12,
        upscale__seed=2**40 + 5,
        rife__dtype=None,
        final__fps=16.0,
    )
    result = fixed(graph, beside())
    inputs = {name: node.inputs for name, node in result.graph.items()}

    assert [f for f in lint(result.graph, beside()) if f.severity in {"error", "warn"}] == []
    assert inputs["cond"]["length"] == 73
    assert inputs["cond"]["width"] == 496
    assert inputs["ks_low"]["start_at_step"] == 5
    assert inputs["upscale"]["batch_size"] == 13
    assert inputs["upscale"]["seed"] == 5
    assert inputs["rife"]["dtype"] == "float32"
    assert inputs["final"]["fps"] == 32.0
    assert {"F001", "F004", "S002", "S004", "S005", "S006", "U003", "U007", "Z002", "R002"} <= {
        finding.rule for finding in result.findings
    }


def test_only_the_rules_that_are_named_are_mended():
    graph = changed(hero(), cond__length=72, shift_low__shift=6.0)
    result = fixed(graph, beside(), {"F001"})
    assert result.graph["cond"].inputs["length"] == 73
    assert result.graph["shift_low"].inputs["shift"] == 6.0


def test_the_control_node_becomes_the_picture_node_and_keeps_its_links():
    graph = changed(control(), unet_high__unet_name=HIGH, unet_low__unet_name=LOW)
    cond = fixed(graph, beside(), {"M004"}).graph["cond"]

    assert cond.class_type == "WanImageToVideo"
    assert cond.inputs["start_image"] == ["image", 0]
    assert cond.inputs["positive"] == ["pos", 0]
    assert cond.inputs["length"] == 81
    assert not {"ref_image", "control_video"} & cond.inputs.keys()


def test_a_start_picture_that_is_there_already_is_kept():
    graph = changed(control(), unet_high__unet_name=HIGH, unet_low__unet_name=LOW)
    graph = changed({**graph, "other": graph["image"]}, cond__start_image=At("other"))
    assert fixed(graph, beside(), {"M004"}).graph["cond"].inputs["start_image"] == ["other", 0]


def test_a_value_from_elsewhere_is_written_into_the_node_itself():
    number = Node(class_type="PrimitiveInt", inputs={"value": 72})
    graph = changed({**hero(), "number": number}, cond__length=At("number"))
    result = fixed(graph, beside(), {"F001"}).graph
    assert result["cond"].inputs["length"] == 73
    assert result["number"] == number


def test_a_node_keeps_its_title():
    old = changed(hero(), cond__length=72)
    graph = {**old, "cond": Node(old["cond"].class_type, old["cond"].inputs, {"title": "Clip"})}
    assert fixed(graph, beside()).graph["cond"].meta == {"title": "Clip"}


@pytest.mark.parametrize("length", range(1, 90))
def test_any_length_becomes_the_nearest_that_the_model_makes(length):
    graph = changed(hero(), cond__length=length)
    result = fixed(graph, beside(), {"F001"}).graph["cond"].inputs["length"]
    assert result % 4 == 1
    assert abs(result - length) <= 2


def test_each_change_does_what_it_says_and_keeps_the_rest():
    node = Node("A", {"b": 1, "c": 2}, {"title": "T"})

    assert mended_node(node, Put("x", "b", 3)) == Node("A", {"b": 3, "c": 2}, {"title": "T"})
    assert mended_node(node, DropInput("x", "b")) == Node("A", {"c": 2}, {"title": "T"})
    assert mended_node(node, DropInput("x", "z")) == node
    assert mended_node(node, SwapNode("x", "B", {"d": 4})) == Node("B", {"d": 4}, {"title": "T"})


def test_a_node_that_changes_its_class_has_its_values_mended_as_well():
    graph = changed(control(), unet_high__unet_name=HIGH, unet_low__unet_name=LOW, cond__length=72)
    cond = fixed(graph, beside()).graph["cond"]
    assert (cond.class_type, cond.inputs["length"]) == ("WanImageToVideo", 73)
