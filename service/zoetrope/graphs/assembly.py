"""The assembly of a recipe from its files, and the check of all that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from .. import tables
from ..errors import RecipeError
from ..structs import primed
from . import recipe_check, shared
from .document import decode
from .graph import Graph
from .recipe import Recipe
from .recipe_file import RecipeFile

FILE = "recipe.toml"


def assemble(name: str, read: Callable[[str], bytes], place: Callable[[str], Path | str]) -> Recipe:
    """Make a recipe of its files, wherever they are kept; `place` says where one lies, for people."""
    files: dict[str, bytes] = {}
    origin = place(FILE)

    def take(file: str) -> bytes:
        try:
            files[file] = read(file)
        except OSError as error:
            raise RecipeError(f"{place(file)}: cannot be read ({error.strerror}).") from error
        except ValueError as error:  # a zero byte in it
            raise RecipeError(f"{origin} names {file!r}: no file has such a name.") from error
        return files[file]

    try:
        said = tables.read(take(FILE).decode())
        file = msgspec.convert(said, primed(RecipeFile), str_keys=True)
    except (UnicodeDecodeError, tables.BrokenTable, msgspec.ValidationError) as error:
        raise RecipeError(f"{origin}: {error}.", "Fix the recipe.") from error
    graphs: dict[str, Graph] = {
        stage.graph: decode(take(stage.graph), str(place(stage.graph))) for stage in file.stages
    }
    common = shared.read(take(shared.FILE), str(place(shared.FILE)))
    try:
        whole = shared.completed(file, common)
    except RecipeError as error:
        raise RecipeError(f"{origin}: {error.reason.sentence}", "Fix the recipe.") from error
    recipe = Recipe(name=name, file=whole, graphs=graphs, files=files, version=digest(files))
    recipe_check.check(recipe, origin)
    return recipe.on(0)


def digest(files: Mapping[str, bytes]) -> str:
    """Name a recipe's files by their names and content."""
    parts = hashlib.sha256()
    for name, content in sorted(files.items()):
        parts.update(f"{len(name.encode())}:{name}{len(content)}:".encode())
        parts.update(content)
    return parts.hexdigest()
