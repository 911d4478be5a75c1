import json

from zoetrope.graphs.shelf import Recipes


def test_recipes_are_listed_with_their_titles_and_the_default_is_marked(service, run):
    service.parts.ship()
    lines = run("recipes").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TAGS", "INPUT", "TITLE"]
    assert len(lines) == 1 + len(service.parts.recipes.names())
    hero = next(line for line in lines if line.startswith("wan22-i2v-hero"))
    assert "default" in hero
    assert service.parts.recipes.get("wan22-i2v-hero").file.title in hero
    assert "two pictures" in next(line for line in lines if line.startswith("wan22-flf"))
    assert "a video" in next(line for line in lines if line.startswith("seedvr2-rife-upscale"))


def test_one_recipe_is_shown_with_all_that_it_can_be_asked_for(service, run):
    service.parts.ship()
    recipe = service.parts.recipes.get("wan22-i2v-hero")
    text = run("recipes", "wan22-i2v-hero").stdout
    assert recipe.file.guidance.strip().splitlines()[0] in text
    for name in (*recipe.file.parameters, *recipe.file.presets):
        assert f"\n{name} " in text
    assert "i2v (then review)" in text
    assert "at 16 fps" in text


def test_recipes_as_json_are_what_the_api_gives(service, run):
    (tiny,) = json.loads(run("recipes", "--json").stdout)["recipes"]
    assert tiny["name"] == "tiny"
    assert json.loads(run("recipes", "tiny", "--json").stdout) == tiny


def test_an_unknown_recipe_is_one_line_with_the_nearest(service, run):
    result = run("recipes", "tinny")
    assert result.exit_code == 1
    assert result.stderr == (
        "zoetrope: There is no recipe 'tinny'; did you mean `tiny`? `zoetrope recipes` lists them.\n"
    )


def test_a_broken_recipe_says_what_is_wrong(service, run, tmp_path):
    (tmp_path / "shelf/odd").mkdir(parents=True)
    (tmp_path / "shelf/odd/recipe.toml").write_text("titel = 1")
    service.parts.recipes = Recipes((tmp_path / "shelf",))
    assert "titel" in run("recipes").stdout
    assert "broken: " in run("recipes", "odd").stdout
