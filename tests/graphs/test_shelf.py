import os
import shutil

import pytest

from tests.conftest import RECIPES
from zoetrope.errors import RecipeError, Rejected
from zoetrope.graphs.shelf import Recipes


@pytest.fixture
def shelf(tmp_path):
    shutil.copytree(RECIPES / "tiny", tmp_path / "mine")
    return tmp_path


def edit(shelf, old: str, new: str) -> None:
    file = shelf / "mine" / "recipe.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    os.utime(file, (1, 1))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title =", "titel =", "titel"),
        ('["cond.length"]', '["cond.lenght"]', "cond.lenght"),
        ('output = "save"', 'output = "safe"', "safe"),
        ('"i2v.json"', '"absent.json"', "absent.json"),
        ('"i2v.json"', r'"\u0000.json"', "no file has such a name"),
        ('picture = "image.image"', 'picture = "image.nothing"', "image.nothing"),
        ('name = "upscale"', 'name = "i2v"', "a unique name"),
        ("[size]", "[size", "recipe.toml"),
        (
            'default = 4\nmin = 2\nmax = 100\nto = ["ks_high.steps", "ks_low.steps"]',
            'to = ["ks_high.steps", "ks_high.start_at_step"]',
            r"different values for steps: \[4, 0\]",
        ),
        ("default = 4\n", "default = 1\n", "the value steps = 1 is invalid"),
        ("default = 1.0\n", "default = nan\n", r"parameters.cfg.default: found nan, allowed"),
        ("default = 1.0\n", "default = 1e400\n", r"parameters.cfg.default: found inf, allowed"),
        pytest.param(
            "default = 4\n", f"default = {'9' * 5000}\n", "too many digits", id="many digits"
        ),
        pytest.param(
            "title =", f"x = {'[' * 500}{']' * 500}\ntitle =", "nested deeper", id="deep lists"
        ),
        ("pixels = 4096\n", "pixels = 0\nmin_edge_ = 1\n", "min_edge_"),
        ("[size]", '[memory.24]\nset = { "cond.odd" = 1 }\n[size]', "cond.odd"),
        ("[size]", '[memory.large]\nabout = "x"\n[size]', r"\$\.memory"),
        ("[size]", '[presets.p]\ntitle = "x"\nvalues = { step = 1 }\n[size]', "`steps`"),
        ("[size]", '[presets.p]\ntitle = "x"\nvalues = { steps = 1 }\n[size]', "steps = 1"),
        ('to = ["ks_high.cfg"]', "", "cfg sets nothing"),
        ('to = ["ks_high.cfg"]', 'options = { a = { "cond.x" = 1 } }', "cond.x"),
        ('to = ["ks_high.cfg"]', 'options = { a = { "ks_high.model" = ["x", 0] } }', "'x'"),
        ("[stages.relief.swap.decode]", "[stages.relief.swap.decoder]", "decoder"),
    ],
)
def test_a_recipe_that_names_what_is_not_there_is_its_authors_to_fix(shelf, old, new, told):
    edit(shelf, old, new)
    with pytest.raises(RecipeError, match=told):
        Recipes((shelf,)).get("mine")


def test_a_recipe_is_read_again_when_its_files_change(shelf):
    recipes = Recipes((shelf,))
    assert recipes.get("mine") is recipes.get("mine")
    edit(shelf, 'title = "Tiny', 'title = "Other')
    assert recipes.get("mine").file.title.startswith("Other")


def test_the_first_folder_wins_and_unknown_names_get_a_hint(shelf):
    recipes = Recipes((shelf, RECIPES))
    assert recipes.names() == ["mine", "tiny"]
    with pytest.raises(Rejected, match="did you mean `tiny`"):
        recipes.get("tinny")
    with pytest.raises(Rejected):
        recipes.get("../tiny")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "\0", "x" * 5000, "\udcff", "mine/"])
def test_a_name_that_is_no_folders_is_unknown_and_nothing_worse(shelf, name):
    with pytest.raises(Rejected) as refused:
        Recipes((shelf,)).get(name)
    assert refused.value.reason.key == "recipe-unknown"
    assert len(str(refused.value)) < 500
