"""Every rule speaks where it should, is silent where it should, and what it would change mends the graph."""

from collections import Counter

import pytest

from tests.lint.case import beside
from tests.lint.cases import CASES
from tests.lint.graphs import (
    At,
    changed,
    clownshark,
    control,
    first_and_last,
    full,
    hero,
    lightning,
    node,
    small,
    switchable,
    text_to_video,
    tiled,
    upscale,
    wrapper,
)
from zoetrope.graphs.graph import Node
from zoetrope.lint.findings import SEVERITIES
from zoetrope.lint.fix import fixed
from zoetrope.lint.linter import lint
from zoetrope.lint.rules import RULES

ERRORS = [
    "Z001",
    "Z002",
    "Z003",
    "Z004",
    "Z006",
    "Z008",
    "Z011",
    "M001",
    "M002",
    "M003",
    "M004",
    "M005",
    "M006",
    "M007",
    "M008",
    "M009",
    "L001",
    "L002",
    "L003",
    "L008",
    "S001",
    "S002",
    "S003",
    "S004",
    "S005",
    "S017",
    "C001",
    "C009",
    "F001",
    "F004",
    "E001",
    "V003",
    "U001",
    "U002",
    "U007",
    "U013",
    "R002",
    "A007",
    "P001",
    "W002",
    "W003",
    "W005",
    "W006",
    "W010",
    "W011",
    "W012",
    "W013",
    "W014",
    "W015",
    "W016",
]
INFOS = [
    "Z010",
    "M013",
    "L006",
    "S008",
    "S009",
    "S013",
    "S016",
    "C003",
    "C007",
    "C010",
    "C011",
    "C012",
    "F007",
    "E002",
    "V002",
    "U006",
    "A002",
    "P002",
    "P003",
    "P004",
    "P007",
    "W004",
    "W007",
    "W008",
    "W009",
]
FAMILIES = {
    "Z": 10, "M": 14, "L": 8, "S": 18, "C": 12, "F": 8, "E": 3, "V": 3, "U": 13, "R": 4, "A": 8, "P": 7,
    "I": 1, "W": 16,
}  # fmt: skip

SOUND = {
    "hero": hero,
    "lightning": lightning,
    "switched-slow": lambda: switchable(fast=False),
    "switched-fast": lambda: switchable(fast=True),
    "small": small,
    "text-to-video": text_to_video,
    "first-and-last": first_and_last,
    "control": control,
    "clownshark": clownshark,
    "upscale": upscale,
    "full": full,
    "wrapper": wrapper,
    "tiled": tiled,
}

#: A host and a picture of which everything is known, and good enough for all of the graphs.
ALL_KNOWN = beside(
    memory_gb=80,
    ram_gb=256,
    architecture="sm_120",
    kernels=frozenset({"sageattention"}),
    picture={"width": 480, "height": 832},
)

names = [f"{case.rule}-{i}" for i, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_rule_speaks_of_the_bad_graph(case):
    places = {
        f"{finding.node}.{finding.input}".strip(".")
        for finding in lint(case.bad, case.bad_context)
        if finding.rule == case.rule
    }
    assert case.place in places


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_rule_is_silent_about_the_good_graph(case):
    findings = lint(case.good, case.good_context)
    assert [finding for finding in findings if finding.rule in {case.rule, "X001"}] == []


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case.bad, dict)])
def test_what_the_rule_would_change_mends_the_graph(case):
    before = lint(case.bad, case.bad_context)
    changeable = {f.node + f.input for f in before if f.rule == case.rule and f.changes}
    after = lint(fixed(case.bad, case.bad_context, {case.rule}).graph, case.bad_context)
    assert not changeable & {f.node + f.input for f in after if f.rule == case.rule}
    assert set(errors(after)) <= set(errors(before))


@pytest.mark.parametrize("build", SOUND.values(), ids=SOUND)
def test_graphs_as_people_run_them_have_no_error_and_no_warning(build):
    assert [f for f in lint(build(), beside()) if f.severity in {"error", "warn"}] == []


def test_no_rule_is_without_a_case():
    assert set(RULES) == {case.rule for case in CASES}


def test_there_are_as_many_rules_in_each_family_as_were_agreed():
    assert Counter(rule_id[0] for rule_id in RULES) == FAMILIES


def test_severities_are_those_that_were_agreed():
    agreed = dict.fromkeys(RULES, "warn") | dict.fromkeys(ERRORS, "error")
    agreed |= dict.fromkeys(INFOS, "info") | {"P006": "hint"}
    assert {rule.id: rule.severity for rule in RULES.values()} == agreed


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_what_why_and_what_to_do(rule):
    assert rule.severity in SEVERITIES
    assert rule.why.endswith(".")
    assert rule.fix.endswith(".")
    assert rule.source
    assert rule.check.__doc__


def test_unknown_facts_silence_the_rules_that_need_them():
    graph = changed(full(), upvae__decode_tiled=False, dit__attention_mode="sageattn_3")
    graph |= {"wan": node("WanVideoModelLoader", model="m", quantization="fp8_e4m3fn_fast")}
    needy = {"F005", "U009", "U010", "M010", "F006", "F007", "A006", "W005"}
    assert not needy & {finding.rule for finding in lint(graph, beside())}


PLACES = [
    pytest.param(build, name, key, id=f"{title}-{name}.{key}")
    for title, build in SOUND.items()
    for name, entry in build().items()
    for key in entry.inputs
]


@pytest.mark.parametrize(("build", "name", "key"), PLACES)
def test_no_rule_speaks_of_a_value_that_nobody_knows(build, name, key):
    graph = {**build(), "somebody": node("Somebody")}
    known = {finding.rule for finding in lint(graph, ALL_KNOWN)}
    unknown = changed(graph, **{f"{name}__{key}": At("somebody")})  # a failing rule is news as well
    assert {finding.rule for finding in lint(unknown, ALL_KNOWN)} <= known


@pytest.mark.parametrize("build", SOUND.values(), ids=SOUND)
def test_no_rule_but_one_speaks_of_a_node_that_nobody_knows(build):
    graph = build()
    known = {finding.rule for finding in lint(graph, ALL_KNOWN)} | {"Z001"}
    for name, entry in graph.items():
        unknown = {**graph, name: Node(class_type="Somebody", inputs=entry.inputs)}
        told = {finding.rule for finding in lint(unknown, ALL_KNOWN)} - known
        assert told <= ({"Z006"} if entry.class_type == "SaveVideo" else set()), name


def test_a_switch_decides_which_rules_speak():
    slow, fast = (
        {
            f.rule
            for f in lint(
                changed(switchable(on), cfg_slow__value=1.0, cfg_quick__value=3.5), beside()
            )
        }
        for on in (False, True)
    )
    assert ("C002" in slow, "C001" in slow) == (True, False)
    assert ("C002" in fast, "C001" in fast) == (False, True)


def errors(findings):
    return [(f.rule, f.node, f.input) for f in findings if f.severity == "error"]
