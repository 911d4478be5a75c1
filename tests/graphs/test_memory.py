"""One table says which class of memory a GPU is of, for recipes, rules and launch flags alike."""

import flags
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zoetrope.graphs.memory import CLASSES, class_of, gigabytes, sold
from zoetrope.graphs.shared import read
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.lint.facts import reported as told
from zoetrope.lint.rules.frames import BUDGETS


@pytest.mark.parametrize(
    ("reported", "found"),
    [(15.5, 16), (15.9, 16), (23.6, 24), (31.4, 32), (31.8, 32), (79.2, 80), (16, 16), (0.0, 0.0),
     (6.0, 6.0), (36.0, 36.0), (14.9, 14.9)],
)  # fmt: skip
def test_a_gpu_is_known_by_the_memory_that_it_is_sold_with(reported, found):
    assert sold(reported) == found


@pytest.mark.parametrize(
    ("reported", "found"),
    [(0.0, 16), (6.0, 16), (15.5, 16), (20.0, 16), (23.6, 24), (31.4, 32), (47.5, 32), (79.2, 80)],
)
def test_a_gpu_is_of_the_largest_class_that_it_has(reported, found):
    assert class_of(reported) == found


def test_memory_that_nobody_can_tell_is_of_the_smallest_class_and_silent_in_rules():
    hero = Recipes((shipped(),)).get("wan22-i2v-hero")
    assert hero.memory_class(0) == min(hero.file.memory)
    assert told(memory_gb=0).memory_gb is None
    assert flags.profile("auto", None) == flags.profile("auto", 0) == str(CLASSES[0])
    assert class_of(0, ()) == 0


def test_every_table_has_the_same_classes():
    common = read((shipped() / "shared.toml").read_bytes(), "shared.toml")
    assert tuple(common.memory) == CLASSES
    assert tuple(map(int, flags.MEMORY)) == CLASSES
    assert tuple(BUDGETS) == CLASSES
    for own in common.cards.values():
        assert set(own) <= set(CLASSES)
    for name in (shelf := Recipes((shipped(),))).names():
        assert set(shelf.get(name).file.memory) <= set(CLASSES)


@example(22 * 2**30)
@example(64 * 2**30)
@given(st.integers(min_value=0, max_value=200 * 2**30))
def test_launch_flags_are_chosen_for_the_class_that_a_recipe_is_planned_for(memory):
    assert flags.profile("auto", memory) == str(class_of(memory / 2**30))


def test_bytes_become_gigabytes_with_one_decimal():
    assert gigabytes(17_066_622_976) == 15.9
    assert gigabytes(0) == 0.0
