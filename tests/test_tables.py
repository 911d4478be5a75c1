"""What tables of TOML and JSON may hold: all that can be kept, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope import tables
from zoetrope.mistakes import show

LEAVES = st.one_of(
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),
    st.booleans(),
    st.text(),
    st.none(),
)
TABLES = st.dictionaries(
    st.text(),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
    ),
)


@given(values=TABLES)
def test_what_has_no_flaw_is_read_back_as_it_was(values):
    if tables.find(values) is None:
        assert msgspec.json.decode(msgspec.json.encode(values)) == values
    else:
        assert msgspec.json.encode(tables.find(values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"a": math.nan}, "a: found nan, allowed is a finite number"),
        ({"a": {"b": [1, -math.inf]}}, "a.b[1]: found -inf, allowed is a finite number"),
        ({"a": 2**64}, "a: found 18446744073709551616, allowed is a whole number from"),
        ({"a": (-(2**63) - 1,)}, "a[0]: found -9223372036854775809, allowed is a whole number"),
        ({"x" * 200: math.nan}, f"{'x' * 80}...: found nan"),
    ],
)
def test_a_flaw_is_told_with_its_place(values, told):
    assert str(tables.find(values)).startswith(told)


def nested(levels: int) -> dict[str, Any]:
    found: Any = 1
    for number in range(levels):
        found = [found] if number % 2 else {"a": found}
    return {"a": found}


def test_depth_is_bounded_however_deep_it_is():
    assert tables.find(nested(tables.LEVELS)) is None
    for levels in (tables.LEVELS + 1, 100_000):
        flaw = tables.find(nested(levels))
        assert flaw is not None
        assert len(str(flaw)) < 300
        assert "64 levels" in flaw.allowed


def test_the_bounds_themselves_are_kept():
    assert tables.find({"a": [2**64 - 1, -(2**63), True, 1.7e308, "x", None]}) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = ", "not valid TOML: "),
        (f"b = 1\na = {'[' * 1000}{']' * 1000}", "^line 2: nested deeper"),
        ("a = " + "[\n" * 1000 + "]\n" * 1000, "^line 65: nested deeper"),
        (f"\n\n{'.'.join('a' * 1200)} = 1", "^line 3: nested deeper"),
        (f"b = [\n1,\n{'9' * 5000}\n]", "^line 3: a number has too many digits"),
        ("a = {b = nan}", "a.b: found nan"),
    ],
    ids=["no TOML", "nested", "nested over lines", "a key", "digits", "a flaw"],
)
def test_a_text_that_cannot_be_used_is_broken_with_the_reason(text, told):
    with pytest.raises(tables.BrokenTable, match=told):
        tables.read(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "true"),
        ("x", "'x'"),
        (10**5000, "a number of about 5000 digits"),
        (-(10**5000), "a number of about 5000 digits"),
    ],
    ids=["a truth", "a text", "a large number", "a small number"],
)
def test_any_value_can_be_shown(value, told):
    assert show(value) == told
    assert len(show(nested(50_000))) <= 60
