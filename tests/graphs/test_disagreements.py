"""The tables of docs/recipes.md say what the recipes hold."""

import re
from math import prod
from pathlib import Path

import pytest

from zoetrope.graphs import catalog
from zoetrope.graphs.recipe import Recipe
from zoetrope.graphs.recipe_file import Fallback, Preset
from zoetrope.graphs.shared import read
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.lint.rules import RULES
from zoetrope.models.manifest import catalogue, needs
from zoetrope.settings import ModelsSettings

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
SHELF = Recipes((shipped(),))
ALL = [SHELF.get(name) for name in SHELF.names()]
NODES = catalog.load().nodes
SPAN = re.compile(r"`([^`]+)`")


def table(heading: str) -> list[list[str]]:
    """Give the cells of the first table below a heading, without its first two lines."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def held(recipe: Recipe, place: str) -> set[object]:
    """Find what a recipe holds: at a key of [size] or [length], a parameter, or a node's input."""
    section, _, key = place.partition(".")
    if section in ("size", "length"):
        owner = getattr(recipe.file, section)
        return set() if owner is None else {getattr(owner, key)}
    if not key:
        return {recipe.default(place)} if place in recipe.file.parameters else set()
    return {
        graph[section].inputs[key]
        for graph in recipe.graphs.values()
        if section in graph and key in graph[section].inputs
    }


def eased(fallbacks: Fallback, place: str) -> set[object]:
    """Find what a relief sets a node's input to."""
    node, _, key = place.partition(".")
    swapped = fallbacks.swap[node].inputs if node in fallbacks.swap else {}
    return {
        values[name] for values, name in ((swapped, key), (fallbacks.set, place)) if name in values
    }


def same(found: object, said: str) -> bool:
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found) == float(said)
    return str(found) == said


def mistakes(cell: str) -> list[str]:
    """Read a cell from left to right: recipes, their presets and reliefs, and what is said of each."""
    found: list[str] = []
    recipes: list[Recipe] = ALL
    within: Preset | Fallback | None = None
    for span in SPAN.findall(cell):
        recipe = recipes[0]
        place, equals, value = span.partition(" = ")
        fallbacks = {r.name: r for stage in recipe.file.stages for r in stage.fallbacks}
        if equals:
            if isinstance(within, Preset):
                values = {within.values[place]} if place in within.values else set()
            elif within is not None:
                values = eased(within, place)
            else:
                values = set().union(*(held(each, place) for each in recipes))
            if not values or not all(same(each, value) for each in values):
                found.append(f"{span}: {values}")
        elif span in SHELF.names():
            recipes, within = [SHELF.get(span)], None
        elif len(recipes) == 1 and span in recipe.file.presets:
            within = recipe.file.presets[span]
        elif len(recipes) == 1 and span in fallbacks:
            within = fallbacks[span]
        elif span in NODES:
            classes = {
                node.class_type for graph in recipe.graphs.values() for node in graph.values()
            }
            if len(recipes) > 1 or span not in classes:
                found.append(f"{span} is not in {recipe.name}")
        elif span not in RULES:
            found.append(f"{span}: what is that?")
    return found


@pytest.mark.parametrize("row", table("Where documents disagree"), ids=lambda row: row[0][:50])
def test_what_we_do_where_documents_disagree_is_what_the_recipes_do(row):
    documents, template, ours = row
    assert documents
    assert template
    assert SPAN.search(ours), "nothing of it can be checked"
    assert mistakes(ours) == []


@pytest.mark.parametrize(
    "cell",
    [
        "`wan22-i2v-hero` `split = 6`",
        "`wan22-i2v-hero` `faithful` `split = 5`",
        "`wan22-i2v-hero` `tiled-decode` `decode.temporal_size = 64`",
        "`wan22-i2v-hero` `ks_high.sampler_name = lcm`",
        "`wan22-i2v-hero` `no_such_thing = 1`",
        "`wan22-i2v-hero` `Wan22FunControlToVideo`",
        "`length.fps = 24`",
        "`Z999`",
    ],
)
def test_a_table_that_is_stale_is_seen(cell):
    assert mistakes(cell)


def test_every_recipes_estimate_is_explained():
    said = {SPAN.findall(recipe)[0]: seconds for recipe, seconds, _ in table("How long it takes")}
    assert said == {
        recipe.name: " + ".join(f"{stage.estimate_seconds:g}" for stage in recipe.file.stages)
        for recipe in ALL
    }


def test_every_band_is_told_with_its_clip():
    said = {
        (SPAN.findall(recipe)[0], seconds, clip)
        for recipe, seconds, clip in table("When a stage is slow")
    }
    assert said == {
        (
            recipe.name,
            f"{band.seconds[0]:g} to {band.seconds[1]:g}",
            f"{band.width}x{band.height}, {band.frames} frames",
        )
        for recipe in ALL
        for stage in recipe.file.stages
        if (band := stage.band) is not None
    }
    assert said


def test_every_preset_is_in_the_table_of_presets():
    named = {name for row in table("Presets") for name in SPAN.findall(row[0])}
    assert named == {name for recipe in ALL for name in recipe.file.presets}


def test_every_rule_that_the_page_names_is_one():
    named = {span for span in SPAN.findall(PAGE) if re.fullmatch(r"[A-Z]\d{3}", span)}
    assert {"P001", "P006"} <= named <= set(RULES)


def test_what_models_and_frames_take_of_the_hosts_memory_is_reckoned_right():
    known = catalogue(ModelsSettings())
    rows = [row for row in table("GPU memory") if re.fullmatch(r"[\d.]+", row[-1])]
    assert len(rows) >= 5
    for what, gigabytes in rows:
        if name := SPAN.search(what):
            found = sum(model.bytes or 0 for model in needs(SHELF.get(name[1]), known))
        else:
            found = 3 * 4 * prod(map(int, re.findall(r"\d+", what)))  # three channels in fp32
        assert f"{found / 1e9:.1f}" == gigabytes, what


def test_a_budgets_tokens_are_counted_right():
    for profile in read((shipped() / "shared.toml").read_bytes(), "shared.toml").memory.values():
        width, height = map(int, re.findall(r"(\d+)x(\d+)", profile.about)[0])
        assert width * height <= profile.pixels
        tokens = profile.pixels / 16**2 * 21
        assert f"{tokens / 1000:.0f} thousand" in profile.about
