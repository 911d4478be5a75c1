"""Formulas are worked out exactly, or not at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.lint.expression import evaluate


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("a + b", 7),
        ("floor(a * 16 + 1)", 81),
        ("a if b > 1 else 0", 5),
        ("not a", False),
        ("-a", -5),
        ("max(a, b, 9) // 2", 4),
        ("min(a, 3) * b", 6),
        ("round(a / 4) * 4 + 1", 5),
    ],
)
def test_the_formulas_of_official_graphs_are_worked_out(formula, value):
    assert evaluate(formula, {"a": 5, "b": 2}) == value


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "a +",
        "c",
        "1 / 0",
        "9 ** 9 ** 9",
        "10 * 10 * 10e300 * 10e300",
        "__import__('os')",
        "a.real",
        "abs(a, key=1)",
        "'text'",
        "[a][0]",
        "(" * 200 + ")" * 200,
        "a" * 600,
        "sqrt(-1)",
        "float('nan')",
    ],
)
def test_what_cannot_be_known_is_none(formula):
    assert evaluate(formula, {"a": 5}) is None


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_text_makes_it_fail(text):
    evaluate(text, {"a": 1, "b": 2.5})
