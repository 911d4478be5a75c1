"""A recipe as the API and the CLI show it: what a ticket may set, without the places in its graphs."""

from __future__ import annotations

import msgspec

from ..domain.values import Scalar
from ..errors import Reason
from ..graphs.recipe import Recipe
from ..graphs.recipe_file import Length, Parameter, Size


class ParameterView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a ticket may set."""

    type: str
    about: str = ""
    source: str = ""
    default: Scalar
    min: float | None = None
    max: float | None = None
    step: float | None = None
    unit: str = ""
    options: tuple[str, ...] = ()


class PresetView(msgspec.Struct, frozen=True, kw_only=True):
    """A name for several values at once."""

    name: str
    title: str
    about: str = ""
    values: dict[str, Scalar] = {}


class RecipeStageView(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a recipe; the estimate is for a GPU of 16 GB."""

    name: str
    review: bool
    estimate_seconds: float


class SizeView(msgspec.Struct, frozen=True, kw_only=True):
    """How large a video may be: edges are multiples, and so many pixels fit the smallest GPU."""

    pixels: int
    multiple: int
    min_edge: int
    max_edge: int


class LengthView(msgspec.Struct, frozen=True, kw_only=True):
    """How long a clip may be."""

    frames: int
    fps: float
    step: int
    min: int
    max: int
    trained: int


class RecipeView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown of a recipe; one with a problem cannot be used until it is fixed."""

    name: str
    title: str
    default: bool
    guidance: str = ""
    problem: Reason | None = None
    tags: tuple[str, ...] = ()
    presets: tuple[PresetView, ...] = ()
    stages: tuple[RecipeStageView, ...] = ()
    parameters: dict[str, ParameterView] = {}
    pictures: int = 1
    clip: bool = False  # it begins with a video
    size: SizeView | None = None
    length: LengthView | None = None


class RecipeList(msgspec.Struct, frozen=True, kw_only=True):
    """Every recipe that can be found."""

    recipes: tuple[RecipeView, ...]


def show(recipe: Recipe, *, default: bool) -> RecipeView:
    """Show a recipe."""
    file = recipe.file
    return RecipeView(
        name=recipe.name,
        title=file.title,
        default=default,
        guidance=file.guidance,
        tags=file.tags,
        presets=tuple(
            PresetView(name=name, title=each.title, about=each.about, values=each.values)
            for name, each in file.presets.items()
        ),
        stages=tuple(
            RecipeStageView(
                name=stage.name, review=stage.review, estimate_seconds=stage.estimate_seconds
            )
            for stage in file.stages
        ),
        parameters={
            name: _parameter(each, recipe.default(name)) for name, each in file.parameters.items()
        },
        pictures=file.pictures,
        clip=file.clip is not None,
        size=_size(file.size),
        length=_length(file.length),
    )


def broken(name: str, problem: Reason, *, default: bool) -> RecipeView:
    """Show a recipe that its author has to fix."""
    return RecipeView(name=name, title=name, default=default, problem=problem)


def _parameter(parameter: Parameter, default: Scalar) -> ParameterView:
    return ParameterView(
        type=parameter.type,
        about=parameter.about,
        source=parameter.source,
        default=default,
        min=parameter.min,
        max=parameter.max,
        step=parameter.step,
        unit=parameter.unit,
        options=parameter.allowed,
    )


def _size(size: Size | None) -> SizeView | None:
    if size is None:
        return None
    return SizeView(
        pixels=size.pixels,
        multiple=size.multiple,
        min_edge=size.min_edge,
        max_edge=size.max_edge,
    )


def _length(length: Length | None) -> LengthView | None:
    if length is None:
        return None
    return LengthView(
        frames=length.frames,
        fps=length.fps,
        step=length.step,
        min=length.min,
        max=length.max,
        trained=length.trained,
    )
