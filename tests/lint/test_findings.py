"""Values are shown in a few characters, whatever they are."""

import pytest

from zoetrope.lint.findings import quote


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (False, "false"),
        (None, "nothing"),
        (81, "81"),
        (10**5000, "a number of 16610 bits"),
        (3.50, "3.5"),
        (float("nan"), "nan"),
        ("euler", "'euler'"),
        ("x" * 200, f"'{'x' * 80}…'"),
        ([1], "a list"),
        ({"a": 1}, "an object"),
    ],
    ids=range(11),
)
def test_a_value_is_shown_shortly(value, shown):
    assert quote(value) == shown
