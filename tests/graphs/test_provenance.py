"""Every value of a shipped recipe says what it is for and where it comes from, and the source is true."""

import re

import msgspec
import pytest
import tomli

from zoetrope.graphs import catalog
from zoetrope.graphs.shared import read
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.models.manifest import Model

SHELF = Recipes((shipped(),))
NODES = catalog.load().nodes
SHARED = read((shipped() / "shared.toml").read_bytes(), "shared.toml")
PARAMETERS = [
    pytest.param(recipe, name, id=f"{recipe.name}-{name}")
    for recipe in map(SHELF.get, SHELF.names())
    for name in recipe.file.parameters
]
ORIGINS = (
    "hero document",
    "two-pass document",
    "lightning document",
    "parameter document",
    "community notes",
    "official template",
    "node default",
    "our own choice",
)


def numbers(text: str) -> set[float]:
    return {float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)}


@pytest.mark.parametrize(("recipe", "name"), PARAMETERS)
def test_a_parameter_says_what_it_does_and_who_says_so(recipe, name):
    parameter = recipe.file.parameters[name]
    assert parameter.about
    assert parameter.source.startswith(ORIGINS)


@pytest.mark.parametrize(("recipe", "name"), PARAMETERS)
def test_a_source_names_the_value_that_is_the_default(recipe, name):
    parameter, value = recipe.file.parameters[name], recipe.default(name)
    if parameter.type in ("int", "float"):
        assert float(value) in numbers(parameter.source)
    elif parameter.type == "choice" and name != "order":
        assert str(value).rpartition("/")[2] in parameter.source


@pytest.mark.parametrize(
    ("recipe", "name"),
    [p for p in PARAMETERS if p.values[0].file.parameters[p.values[1]].source.startswith("node")],
)
def test_what_is_called_a_nodes_default_is_the_pinned_nodes(recipe, name):
    for place in recipe.file.parameters[name].to:
        node, _, key = place.partition(".")
        for graph in (graph for graph in recipe.graphs.values() if node in graph):
            assert NODES[graph[node].class_type].inputs[key].default == recipe.default(name)


@pytest.mark.parametrize("name", SHELF.names())
def test_a_recipe_has_a_paragraph_of_guidance_and_says_what_each_part_is_for(name):
    file = SHELF.get(name).file
    assert 150 < len(file.guidance.strip()) < 600
    assert all(stage.estimate_seconds > 0 for stage in file.stages)
    assert all(fallbacks.about for stage in file.stages for fallbacks in stage.fallbacks)
    own = tomli.loads((shipped() / name / "recipe.toml").read_text())
    assert all(profile.get("about") for profile in own.get("memory", {}).values())
    assert all(preset.source for preset in file.presets.values())


def test_the_face_stability_preset_is_what_the_heros_graph_holds():
    asked = SHARED.presets["face-stability"].values["negative"]
    assert asked == SHELF.get("wan22-i2v-hero").default("negative")


def test_the_static_portrait_asks_for_enough_to_pass_verification():
    # Verification refuses a clip in which nothing moves.
    prompt = SHARED.presets["static-portrait"].values["prompt"]
    assert "breathing" in prompt
    assert "blink" in prompt


def test_what_the_catalogue_does_not_know_of_a_file_it_says():
    text = (shipped() / "models.toml").read_text()
    for model in msgspec.convert(tomli.loads(text)["model"], list[Model]):
        known = bool(model.bytes) and bool(re.fullmatch(r"[0-9a-f]{64}", model.sha256))
        assert model.url.startswith("https://"), model.file
        assert known is ("no source" not in model.basis), model.file
