"""The check of a recipe before it is used: all that it names is there, and says the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..domain.values import SourceImage, Ticket
from ..errors import RecipeError, Rejected
from ..mistakes import nearest
from . import presets
from .graph import Graph
from .recipe import Recipe
from .recipe import check as check_value
from .recipe_file import Parameter, Setting, StageSpec
from .release import numbers

# Wide, tall and square.
SHAPES = ((1280, 720), (720, 1280), (1000, 1000))


def check(recipe: Recipe, origin: Path | str) -> None:
    """Raise RecipeError for the first thing that a recipe's author has to fix."""
    try:
        _check_stages(recipe)
        _check_shared(recipe)
        for name, parameter in recipe.file.parameters.items():
            _check_parameter(recipe, name, parameter)
        _check_presets(recipe)
        _check_memory(recipe)
        _check_plans(recipe)
    except RecipeError as error:
        raise RecipeError(f"{origin}: {error.reason.sentence}", "Fix the recipe.") from error


def _check_stages(recipe: Recipe) -> None:
    file = recipe.file
    if len({stage.name for stage in file.stages}) != len(file.stages) or not file.stages:
        raise RecipeError("a recipe needs stages, each with a unique name.")
    for stage in file.stages:
        graph = recipe.graphs[stage.graph]
        own = [stage.prefix, stage.picture, stage.end_picture, stage.source]
        own += [stage.handoff.prefix] if stage.handoff else []
        own += [stage.enlarge.to] if stage.enlarge else []
        swapped = {node for fallbacks in stage.fallbacks for node in fallbacks.swap}
        for place in [p for p in own if p] + [p for r in stage.fallbacks for p in r.set]:
            if not _has(graph, place) and place.partition(".")[0] not in swapped:
                raise RecipeError(f"{stage.graph} has no place {place!r}.")
        for name in _enlarging(stage):
            if name not in file.parameters:
                raise RecipeError(f"there is no parameter {name!r}.")
        handed = [stage.handoff.output] if stage.handoff else []
        for node in (stage.output, *handed, *swapped):
            if node not in graph:
                raise RecipeError(f"{stage.graph} has no node {node!r}.")


def _check_shared(recipe: Recipe) -> None:
    file = recipe.file
    if file.comfyui and not numbers(file.comfyui):
        raise RecipeError(f"comfyui = {file.comfyui!r} is no version; write it like 0.28.0.")
    places = [*file.seed]
    places += [*file.size.width, *file.size.height] if file.size else []
    places += [*file.length.to, *file.length.kept] if file.length else []
    places += [*file.clip.fps] if file.clip else []
    _need(recipe, places)
    if file.clip and file.clip.edge and file.clip.edge not in file.parameters:
        raise RecipeError(f"there is no parameter {file.clip.edge!r}.")


def _check_parameter(recipe: Recipe, name: str, parameter: Parameter) -> None:
    _need(recipe, parameter.to)
    for settings in parameter.options.values():
        _need(recipe, settings)
        for setting in settings.values():
            _check_link(recipe, setting)
    used = {each for stage in recipe.file.stages for each in _enlarging(stage)}
    if not parameter.to and not parameter.options and name not in used:
        raise RecipeError(f"the parameter {name} sets nothing.")
    if parameter.default is None and not parameter.to:
        raise RecipeError(
            f"the parameter {name} has neither a default nor a place to read it from."
        )
    if parameter.default is None:
        held = list(_held(recipe, parameter.to))
        if any(value != held[0] for value in held):
            raise RecipeError(f"the workflows have different values for {name}: {held}.")
    _check_value(name, parameter, recipe.default(name))


def _check_presets(recipe: Recipe) -> None:
    possible, parameters = presets.keys(recipe.file), recipe.file.parameters
    for title, preset in recipe.file.presets.items():
        for name, value in preset.values.items():
            if name not in possible:
                raise RecipeError(f"the preset {title} sets {name!r}; {nearest(name, possible)}")
            if name in parameters:
                _check_value(name, parameters[name], value)


def _check_memory(recipe: Recipe) -> None:
    size, memory = recipe.file.size, recipe.file.memory
    if size is not None and not size.pixels:
        raise RecipeError("neither [size] nor the smallest [memory] sets `pixels`.")
    for gigabytes, profile in memory.items():
        try:
            _need(recipe, profile.set)
        except RecipeError as error:
            # A shelf's table is nowhere in the recipe's own text.
            where = f"[memory.{gigabytes}]"
            if recipe.file.cards:
                where += f", or the table [cards.{recipe.file.cards}] of shared.toml"
            raise RecipeError(f"{error.reason.sentence.rstrip('.')}: {where} sets it.") from error


def _check_plans(recipe: Recipe) -> None:
    """A picture without a ticket has to become a larger video on every GPU, whatever its shape."""
    enlarges = any(stage.expect.size == "larger" for stage in recipe.file.stages)
    if recipe.file.clip is not None or not enlarges:
        return
    for gigabytes in (0, *recipe.file.memory):
        for width, height in SHAPES:
            image = SourceImage(
                name="",
                sha256="",
                size=0,
                format="",
                width=width,
                height=height,
                source="",
                file="",
            )
            try:
                recipe.on(gigabytes).plan(Ticket(recipe=recipe.name), image, 0)
            except Rejected as error:
                where = f" on a GPU with {gigabytes} GB" if gigabytes else ""
                sentence = error.reason.sentence
                raise RecipeError(f"its own defaults are rejected{where}: {sentence}") from error


def _check_value(name: str, parameter: Parameter, value: Any) -> None:
    try:
        check_value(name, parameter, value)
    except Rejected as error:
        raise RecipeError(error.reason.sentence.replace("The ticket's", "the value")) from error


def _enlarging(stage: StageSpec) -> tuple[str, ...]:
    return (stage.enlarge.short, stage.enlarge.longest) if stage.enlarge else ()


def _check_link(recipe: Recipe, setting: Setting) -> None:
    if isinstance(setting, list) and not any(
        setting[0] in graph for graph in recipe.graphs.values()
    ):
        raise RecipeError(f"no workflow has the node {setting[0]!r}.")


def _need(recipe: Recipe, places: Iterable[str]) -> None:
    for place in places:
        if not any(_has(graph, place) for graph in recipe.graphs.values()):
            raise RecipeError(f"no workflow has the place {place!r}.")


def _held(recipe: Recipe, places: Iterable[str]) -> Iterable[Any]:
    for place in places:
        node, _, key = place.partition(".")
        graphs = [graph for graph in recipe.graphs.values() if _has(graph, place)]
        yield from (graph[node].inputs[key] for graph in graphs)


def _has(graph: Graph, place: str) -> bool:
    node, _, key = place.partition(".")
    return node in graph and key in graph[node].inputs
