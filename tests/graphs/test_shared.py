"""Presets, and what the recipes of a shelf share."""

import os
import shutil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import RECIPES
from zoetrope.errors import RecipeError, Rejected
from zoetrope.graphs.presets import together
from zoetrope.graphs.recipe_file import Fallback, Memory, Preset, Size
from zoetrope.graphs.shared import Shared, completed
from zoetrope.graphs.shelf import Recipes, load

TINY = load(RECIPES / "tiny")


def preset(**values) -> Preset:
    return Preset(title="x", values=values)


@pytest.fixture
def shelf(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "mine")
    return tmp_path


def share(shelf, text: str, when: float = 1.0) -> None:
    (shelf / "shared.toml").write_text(text, encoding="utf-8")
    os.utime(shelf / "shared.toml", (when, when))


def test_texts_of_several_presets_are_joined_and_the_later_value_counts():
    found = together(
        [
            preset(negative="blur", prompt="She turns.", steps=4),
            preset(negative="zoom, pan", steps=8),
            preset(prompt="It rains.", cfg=2.0),
        ]
    )
    assert found == {
        "negative": "blur, zoom, pan",
        "prompt": "She turns. It rains.",
        "steps": 8,
        "cfg": 2.0,
    }


@given(
    st.lists(st.dictionaries(st.sampled_from(["seconds", "frames", "steps"]), st.integers(1, 9)))
)
def test_of_presets_that_say_the_length_in_two_ways_the_later_counts(values):
    lengths = {"seconds", "frames"}
    found = together([Preset(title="x", values=each) for each in values])
    last = [each for each in values if lengths & each.keys()]
    said = {k: v for k, v in last[-1].items() if k in lengths} if last else {}
    assert {k: v for k, v in found.items() if k in lengths} == said


def test_a_shared_preset_goes_to_the_recipes_that_it_suits():
    shared = Shared(
        presets={"fast": preset(steps=2), "odd": preset(odd=1), "3s": preset(seconds=3)}
    )
    assert set(completed(TINY.file, shared).presets) == set(TINY.file.presets) | {"fast", "3s"}


def test_a_recipes_own_preset_comes_before_the_shared_one(shelf):
    share(shelf, '[presets.quick]\ntitle = "Shared"\nvalues = { steps = 3 }\n')
    file = shelf / "mine" / "recipe.toml"
    assert Recipes((shelf,)).get("mine").file.presets["quick"].title == "Shared"
    file.write_text(file.read_text() + '\n[presets.quick]\ntitle = "Own"\nvalues = { steps = 2 }\n')
    assert Recipes((shelf,)).get("mine").file.presets["quick"].title == "Own"


def test_budgets_are_shared_where_a_recipe_has_none_of_its_own():
    shared = Shared(memory={16: Memory(pixels=4096), 24: Memory(pixels=8192)})
    own = {24: Memory(set={"ks_high.steps": 8}), 32: Memory(pixels=9999)}
    file = TINY.file
    assert completed(file, shared).memory == {}
    size = Size(multiple=16, width=file.size.width, height=file.size.height)
    bare = type(file)(title="x", stages=file.stages, size=size, memory=own)
    found = completed(bare, shared)
    assert found.size.pixels == 4096
    assert found.memory == {
        16: Memory(pixels=4096),
        24: Memory(pixels=8192, set={"ks_high.steps": 8}),
        32: Memory(pixels=9999),
    }


SMALLER = Fallback(name="smaller", scale=0.75)


def relieved(*fallbacks):
    stage = msgspec.structs.replace(TINY.file.stages[0], fallbacks=fallbacks)
    return msgspec.structs.replace(TINY.file, stages=(stage,))


def test_a_relief_that_says_only_its_name_is_the_shelfs():
    own = Fallback(name="own", scale=0.5)
    file = completed(relieved(Fallback(name="smaller"), own), Shared(fallbacks=(SMALLER,)))
    assert file.stages[0].fallbacks == (SMALLER, own)


def test_a_relief_that_says_something_is_the_recipes_own():
    own = Fallback(name="smaller", scale=0.5)
    file = completed(relieved(own), Shared(fallbacks=(SMALLER,)))
    assert file.stages[0].fallbacks == (own,)


def test_a_relief_that_nobody_knows_is_said_with_what_is_meant_perhaps():
    with pytest.raises(RecipeError, match="did you mean `smaller`"):
        completed(relieved(Fallback(name="smaler")), Shared(fallbacks=(SMALLER,)))


def test_a_table_for_cards_is_named_and_the_recipes_own_words_come_first():
    table = {24: Memory(about="much", set={"a.b": 1, "c.d": 2}), 32: Memory(set={"a.b": 3})}
    own = {24: Memory(pixels=99, set={"a.b": 7}), 80: Memory(set={"e.f": 4})}
    file = msgspec.structs.replace(TINY.file, memory=own, cards="large")
    assert completed(file, Shared(cards={"large": table})).memory == {
        24: Memory(about="much", pixels=99, set={"a.b": 7, "c.d": 2}),
        32: Memory(set={"a.b": 3}),
        80: Memory(set={"e.f": 4}),
    }
    assert completed(TINY.file, Shared(cards={"large": table})).memory == TINY.file.memory


def test_a_table_that_there_is_not_is_an_error_with_the_recipes_place(shelf):
    file = shelf / "mine" / "recipe.toml"
    file.write_text(f'cards = "seedvr3"\n{file.read_text()}')
    with pytest.raises(RecipeError, match=r"mine/recipe\.toml: cards = 'seedvr3' .*`seedvr2`"):
        Recipes((shelf,)).get("mine")


def test_a_budget_for_all_sets_no_inputs(shelf):
    share(shelf, '[memory.16]\nset = { "a.b" = 1 }\n')
    with pytest.raises(
        RecipeError, match=r"shared\.toml: a .memory. table for all recipes has `set`"
    ):
        Recipes((shelf,)).get("mine")


def test_a_shelf_without_its_own_has_what_the_shipped_recipes_share(shelf):
    assert "no-talking" in Recipes((shelf,)).get("mine").file.presets
    share(shelf, "")
    assert Recipes((shelf,)).get("mine").file.presets == {}


def test_recipes_are_read_again_when_what_they_share_changes(shelf):
    recipes = Recipes((shelf,))
    share(shelf, '[presets.one]\ntitle = "x"\nvalues = { steps = 2 }\n')
    assert set(recipes.get("mine").file.presets) == {"one"}
    share(shelf, '[presets.two]\ntitle = "x"\nvalues = { steps = 2 }\n', when=2.0)
    assert set(recipes.get("mine").file.presets) == {"two"}


@pytest.mark.parametrize("text", ["[presets", "odd = 1", '[presets.a]\ntitle = "x"\n'])
def test_a_broken_shared_file_is_an_error_with_its_place(shelf, text):
    share(shelf, text)
    with pytest.raises(RecipeError, match=r"shared\.toml"):
        Recipes((shelf,)).get("mine")


def test_a_shared_preset_with_an_impossible_value_names_itself(shelf):
    share(shelf, '[presets.much]\ntitle = "x"\nvalues = { steps = 1000 }\n')
    with pytest.raises(RecipeError, match="steps = 1000"):
        Recipes((shelf,)).get("mine")


def test_an_unknown_preset_is_named_with_the_nearest():
    with pytest.raises(Rejected, match="did you mean `no-talking`"):
        TINY.preset(("no_talking",))
