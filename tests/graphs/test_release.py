"""Versions of ComfyUI are compared by their numbers."""

import pytest

from zoetrope.graphs.release import is_older, numbers


@pytest.mark.parametrize(
    ("found", "needed", "older"),
    [
        ("0.27.1", "0.28.0", True),
        ("0.9.2", "0.28.0", True),
        ("v0.27.1", "0.28", True),
        ("0.28.0", "0.28.0", False),
        ("0.33.0", "0.28.0", False),
        ("1.0", "0.28.0", False),
        ("0.27.1-4-gdeadbee", "0.28.0", True),
        ("", "0.28.0", False),
        ("unknown", "0.28.0", False),
        ("0.27.1", "", False),
    ],
)
def test_a_version_is_older_only_where_that_is_certain(found, needed, older):
    assert is_older(found, needed) is older


def test_what_is_no_version_has_no_numbers():
    assert numbers("master") == ()
    assert numbers("v0.28") == (0, 28)
