"""The checks that a running service has are those of the folder."""

import importlib
from pathlib import Path

import pytest

from zoetrope.health import checks
from zoetrope.health.standard import ORDER, standard

FILES = sorted(file.stem for file in Path(checks.__file__).parent.glob("[!_]*.py"))
# Tested together: they read the same cards.
CARDS = {"card", "heat", "profile", "baseline"}


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_folder_is_a_check_with_a_test(parts, name):
    check = importlib.import_module(f"{checks.__name__}.{name}").make(parts)
    assert check is None or check.name == name
    test = "test_cards.py" if name in CARDS else f"test_{name}.py"
    assert (Path(__file__).parent / test).exists()


def test_they_are_told_in_an_order_that_names_no_other(parts):
    told = list(standard(parts).names)
    assert told == [name for name in ORDER if name in told]
    assert set(ORDER) <= set(FILES)
