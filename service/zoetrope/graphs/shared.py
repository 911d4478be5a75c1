"""What the recipes of one shelf share: presets, fallbacks, and what a GPU's memory allows."""

from __future__ import annotations

import msgspec

from .. import tables
from ..errors import RecipeError
from ..mistakes import nearest
from ..structs import primed
from . import presets
from .recipe_file import Fallback, Memory, Preset, RecipeFile

FILE = "shared.toml"


class Shared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `shared.toml` holds, next to the recipes' folders."""

    presets: dict[str, Preset] = {}
    memory: dict[int, Memory] = {}  # pixels alone: inputs belong to nodes, and those to recipes
    fallbacks: tuple[Fallback, ...] = msgspec.field(default=(), name="reliefs")
    cards: dict[str, dict[int, Memory]] = {}  # by name, for recipes that ask for them


def read(text: bytes, file: str) -> Shared:
    """Read what a shelf's recipes share; `file` is where it lies, for people."""
    try:
        found = msgspec.convert(tables.read(text.decode()), primed(Shared), str_keys=True)
    except (UnicodeDecodeError, tables.BrokenTable, msgspec.ValidationError) as error:
        raise RecipeError(f"{file}: {error}.", "Fix it.") from error
    if any(profile.set for profile in found.memory.values()):
        raise RecipeError(
            f"{file}: a [memory] table for all recipes has `set`, but the nodes are not in all of them.",
            "Move it to [cards.NAME], and use it in recipe.toml: cards = NAME.",
        )
    return found


def completed(file: RecipeFile, shared: Shared) -> RecipeFile:
    """Give a recipe the presets that suit it, what it names, and budgets where its own [size] has none."""
    possible = presets.keys(file)
    suitable = {
        name: preset
        for name, preset in shared.presets.items()
        if possible.issuperset(preset.values)
    }
    size, memory = file.size, _memory(file, shared)
    if size is not None and not size.pixels:
        for gigabytes, profile in shared.memory.items():
            own = memory.get(gigabytes, Memory())
            pixels = own.pixels or profile.pixels
            memory[gigabytes] = msgspec.structs.replace(own, pixels=pixels)
        smallest = memory[min(memory)] if memory else Memory()
        size = msgspec.structs.replace(size, pixels=smallest.pixels)
    stages = tuple(
        msgspec.structs.replace(
            stage, fallbacks=tuple(_fallback(each, shared) for each in stage.fallbacks)
        )
        for stage in file.stages
    )
    return msgspec.structs.replace(
        file, presets={**suitable, **file.presets}, memory=memory, size=size, stages=stages
    )


def _memory(file: RecipeFile, shared: Shared) -> dict[int, Memory]:
    if not file.cards:
        return dict(file.memory)
    if file.cards not in shared.cards:
        raise RecipeError(
            f"cards = {file.cards!r} is none of {FILE}; {nearest(file.cards, shared.cards)}"
        )
    memory = dict(shared.cards[file.cards])
    for gigabytes, own in file.memory.items():
        common = memory.get(gigabytes, Memory())
        memory[gigabytes] = Memory(
            about=own.about or common.about,
            pixels=own.pixels or common.pixels,
            set={**common.set, **own.set},
        )
    return memory


def _fallback(fallback: Fallback, shared: Shared) -> Fallback:
    if fallback != Fallback(name=fallback.name):
        return fallback
    known = {each.name: each for each in shared.fallbacks}
    if fallback.name not in known:
        raise RecipeError(
            f"the fallback {fallback.name!r} sets nothing, and {FILE} has none of that name;"
            f" {nearest(fallback.name, known)}"
        )
    return known[fallback.name]
