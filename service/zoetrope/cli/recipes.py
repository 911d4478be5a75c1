"""`zoetrope recipes`: the list of recipes, and one with its parameters."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..client import decode
from ..web.recipe_views import ParameterView, RecipeList, RecipeView
from . import show
from .options import Options, common, pass_options

LONGEST = 40  # characters of a default


@click.command(epilog="\b\nExample:\n  zoetrope recipes wan22-i2v-hero")
@click.argument("name", required=False)
@common
@pass_options
def recipes(options: Options, name: str | None) -> None:
    """List the service's recipes; with NAME, show that one's sizes, parameters and presets."""
    client = options.client()
    answer = client.recipe(name) if name else client.get("/api/v1/recipes")
    if options.json:
        click.echo(answer)
        return
    lines = (
        details(decode(answer, RecipeView)) if name else listing(decode(answer, RecipeList).recipes)
    )
    for line in lines:
        click.echo(line)


def listing(found: tuple[RecipeView, ...]) -> list[str]:
    """Write the recipes as a table; the default one is marked, a broken one shows its error."""
    rows = [
        (
            recipe.name,
            "default" if recipe.default else ", ".join(recipe.tags),
            _input(recipe),
            str(recipe.problem) if recipe.problem else recipe.title,
        )
        for recipe in found
    ]
    return show.table(("NAME", "TAGS", "INPUT", "TITLE"), rows)


def details(recipe: RecipeView) -> Iterator[str]:
    """Write a recipe with its sizes, parameters and presets as lines."""
    marks = [*(["default"] if recipe.default else []), *recipe.tags]
    note = f" ({', '.join(marks)})" if marks else ""
    yield click.style(f"{recipe.name}{note}", bold=True)
    yield show.clean(recipe.title)
    if recipe.problem:
        yield f"broken: {show.clean(str(recipe.problem))}"
        return
    facts = {
        "input": _input(recipe),
        "stages": ", ".join(
            f"{stage.name}{' (then review)' if stage.review else ''}" for stage in recipe.stages
        ),
        "size": _size(recipe),
        "length": _length(recipe),
    }
    for key, text in facts.items():
        if text:
            yield f"{key:<8} {text}"
    if recipe.guidance:
        yield ""
        yield from (show.clean(line) for line in recipe.guidance.strip().splitlines())
    if recipe.parameters:
        rows = [
            (name, each.type, _value(each.default), _allowed(each), each.about)
            for name, each in recipe.parameters.items()
        ]
        yield from ("", *show.table(("PARAMETER", "TYPE", "DEFAULT", "ALLOWED", "ABOUT"), rows))
    if recipe.presets:
        presets = [(each.name, each.title, each.about) for each in recipe.presets]
        yield from ("", *show.table(("PRESET", "TITLE", "ABOUT"), presets))


def _input(recipe: RecipeView) -> str:
    if recipe.clip:
        return "a video"
    return "two pictures" if recipe.pictures == 2 else "one picture"


def _size(recipe: RecipeView) -> str:
    if (size := recipe.size) is None:
        return ""
    return (
        f"edges from {size.min_edge} to {size.max_edge}, multiples of {size.multiple};"
        f" {size.pixels / 1e6:.2f} megapixels on the smallest GPU"
    )


def _length(recipe: RecipeView) -> str:
    if (length := recipe.length) is None:
        return ""
    return (
        f"from {length.min} to {length.max} frames at {length.fps:g} fps; default {length.frames}"
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    # Defaults can be whole prompts; --json has all of them.
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _allowed(parameter: ParameterView) -> str:
    if parameter.options:
        return ", ".join(parameter.options)
    low, high = parameter.min, parameter.max
    if low is None and high is None:
        return ""
    ends = [f"from {low:g}"] if low is not None else []
    ends += [f"to {high:g}"] if high is not None else []
    return f"{' '.join(ends)} {parameter.unit}".rstrip()
