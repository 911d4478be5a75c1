"""Presets: names for several values of a ticket at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..domain.values import Scalar
from .recipe_file import Preset, RecipeFile

# Several presets may each say something of these: it is said one after the other.
_JOINED: Mapping[str, str] = {"prompt": " ", "negative": ", "}


def keys(file: RecipeFile) -> frozenset[str]:
    """Say what presets of a recipe may hold."""
    found = set(file.parameters)
    if file.size is not None:
        found |= {"width", "height"}
    if file.length is not None:
        found |= {"seconds", "frames"}
    return frozenset(found)


def together(presets: Iterable[Preset]) -> dict[str, Scalar]:
    """Join presets in their order: texts are joined, of anything else the later one counts."""
    values: dict[str, Scalar] = {}
    for preset in presets:
        # Length can be said in two ways; who says it one way takes back the other.
        if preset.values.keys() & {"seconds", "frames"}:
            values = {k: v for k, v in values.items() if k not in {"seconds", "frames"}}
        for key, value in preset.values.items():
            before = values.get(key)
            joined = key in _JOINED and isinstance(before, str)
            values[key] = f"{before}{_JOINED[key]}{value}" if joined else value
    return values
