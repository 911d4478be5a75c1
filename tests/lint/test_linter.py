"""Findings are complete and in order, ignores need a reason, and a broken rule hides no other."""

import msgspec
import pytest

from tests.lint.case import beside
from tests.lint.graphs import changed, full, hero
from zoetrope.graphs.document import encode, read
from zoetrope.graphs.graph import Node
from zoetrope.lint.findings import SEVERITIES, Finding, Hit, Rule
from zoetrope.lint.linter import lint
from zoetrope.lint.registry import rule
from zoetrope.lint.rules import RULES


def noted(graph, node_id, **meta):
    old = graph[node_id]
    return {**graph, node_id: Node(class_type=old.class_type, inputs=old.inputs, meta=meta)}


def rules_of(graph, context=None):
    return [finding.rule for finding in lint(graph, context or beside())]


UNEVEN = changed(hero(), shift_low__shift=6.0)


def test_a_finding_is_complete_in_itself():
    graph = noted(UNEVEN, "shift_low", title="Shift, low")
    finding = next(f for f in lint(graph, beside()) if f.rule == "S012")

    assert (finding.severity, finding.node, finding.input) == ("warn", "shift_low", "shift")
    assert finding.title == "Shift, low"
    assert "6" in finding.found
    assert finding.why
    assert finding.fix
    assert finding.source


def test_a_finding_can_be_sent_and_read_again():
    findings = lint(changed(full(), cond__length=72, dit__offload_device="none"), beside())
    again = msgspec.json.decode(msgspec.json.encode(findings), type=tuple[Finding, ...])
    assert again == findings


def test_the_worst_comes_first_and_the_order_is_always_the_same():
    graph = changed(full(), cond__length=72, shift_low__shift=6.0, ks_low__sampler_name="res_2s")
    found = lint(graph, beside())
    ranks = [SEVERITIES.index(finding.severity) for finding in found]

    assert ranks == sorted(ranks)
    assert found == lint(dict(reversed(graph.items())), beside())


def test_plain_json_and_a_graph_that_is_read_already_give_the_same():
    assert lint(read(encode(UNEVEN), "graph"), beside()) == lint(UNEVEN, beside())


def test_an_ignore_on_a_node_counts_there_alone():
    graph = changed(UNEVEN, ks_high__cfg=1.0)
    assert "S012" in rules_of(graph)
    assert "S012" not in rules_of(noted(graph, "shift_low", zoetrope_ignore={"S012": "a trial"}))
    assert "S012" in rules_of(noted(graph, "shift_high", zoetrope_ignore={"S012": "a trial"}))


def test_an_ignore_from_beside_the_graph_counts_everywhere():
    assert "S012" not in rules_of(UNEVEN, beside(ignore={"S012": "a trial"}))
    assert rules_of({}, beside(ignore={"Z006": "a part of a graph"})) == []


@pytest.mark.parametrize("reason", ["", "  ", None, True, 3, ["why"]])
def test_an_ignore_without_a_reason_counts_for_nothing_and_is_told(reason):
    found = rules_of(noted(UNEVEN, "shift_low", zoetrope_ignore={"S012": reason}))
    assert {"S012", "X002"} <= set(found)


def test_an_ignore_of_a_rule_that_does_not_exist_is_told():
    graph = noted(hero(), "shift_low", zoetrope_ignore={"S999": "a reason"})
    finding = next(f for f in lint(graph, beside()) if f.rule == "X002")
    assert "S999" in finding.found
    assert finding.node == "shift_low"


@pytest.mark.parametrize("meta", [3, "S012", ["S012"], None])
def test_ignores_that_are_no_object_are_none(meta):
    assert "S012" in rules_of(noted(UNEVEN, "shift_low", zoetrope_ignore=meta))


def test_a_broken_rule_hides_no_other_and_is_told(caplog):
    def broken(subject):
        yield Hit(node="ks_low", found="said before it broke")
        raise ZeroDivisionError

    texts = {"title": "broken", "why": "w.", "fix": "f.", "source": "s"}
    rules = {"B000": Rule(id="B000", severity="error", check=broken, **texts), **RULES}
    found = lint(UNEVEN, beside(), rules)

    assert "S012" in [finding.rule for finding in found]
    assert [f.found for f in found if f.rule == "X001"] == [
        "rule B000 failed with ZeroDivisionError"
    ]
    assert "B000" in caplog.text


def test_the_same_place_is_told_once():
    graph = changed(hero(), image__image="/x.png")
    found = [(f.rule, f.node, f.input, f.found) for f in lint(graph, beside())]
    assert len(found) == len(set(found))


def test_two_rules_cannot_have_one_name():
    with pytest.raises(ValueError, match="S012"):
        rule("S012", "warn", title="t", why="w", fix="f", source="s")(lambda subject: ())
