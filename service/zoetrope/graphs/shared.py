"""What the recipes of one shelf share: presets, and how many pixels a card's memory allows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import tomli

from ..errors import RecipeError
from . import presets
from .recipe_file import Memory, Preset, RecipeFile

FILE = "shared.toml"


class Shared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `shared.toml` holds, beside the recipes' folders."""

    presets: dict[str, Preset] = {}
    memory: dict[int, Memory] = {}


def read(file: Path) -> Shared:
    """Read what a shelf's recipes share."""
    try:
        return msgspec.convert(tomli.loads(file.read_text(encoding="utf-8")), Shared, str_keys=True)
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RecipeError(f"{file}: {error}.", "Mend it.") from error


def completed(file: RecipeFile, shared: Shared) -> RecipeFile:
    """Give a recipe the presets that suit it, and budgets where its own [size] has none."""
    possible = presets.keys(file)
    suitable = {
        name: preset
        for name, preset in shared.presets.items()
        if possible.issuperset(preset.values)
    }
    size, memory = file.size, dict(file.memory)
    if size is not None and not size.pixels:
        for gigabytes, profile in shared.memory.items():
            own = memory.get(gigabytes, Memory())
            pixels = own.pixels or profile.pixels
            memory[gigabytes] = msgspec.structs.replace(own, pixels=pixels)
        smallest = memory[min(memory)] if memory else Memory()
        size = msgspec.structs.replace(size, pixels=smallest.pixels)
    return msgspec.structs.replace(
        file, presets={**suitable, **file.presets}, memory=memory, size=size
    )
