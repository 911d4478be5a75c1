"""The shelf: where recipes are found, and the check that each one's places exist."""

from __future__ import annotations

from pathlib import Path

import msgspec
import tomli

from ..errors import RecipeError, Rejected
from ..mistakes import nearest
from .graph import Graph, decode
from .recipe import Recipe
from .recipe_file import RecipeFile


def load(folder: Path) -> Recipe:
    """Read one recipe's folder and check that every place it names exists."""
    origin = folder / "recipe.toml"
    try:
        file = msgspec.convert(tomli.loads(origin.read_text(encoding="utf-8")), RecipeFile)
    except OSError as error:
        raise RecipeError(f"{origin}: cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, tomli.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RecipeError(f"{origin}: {error}.", "Mend the recipe.") from error
    graphs: dict[str, Graph] = {}
    for stage in file.stages:
        path = folder / stage.graph
        try:
            graphs[stage.graph] = decode(path.read_bytes(), str(path))
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    recipe = Recipe(name=folder.name, file=file, graphs=graphs)
    _check_places(recipe, origin)
    return recipe


class Recipes:
    """All recipes that can be found; the folders are read again when a file of theirs changes."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._loaded: dict[str, tuple[object, Recipe | RecipeError]] = {}

    def names(self) -> list[str]:
        """List every recipe's name, sound or not."""
        return sorted(
            {
                entry.name
                for folder in self._folders
                if folder.is_dir()
                for entry in folder.iterdir()
                if (entry / "recipe.toml").is_file()
            }
        )

    def get(self, name: str) -> Recipe:
        """Load a recipe by name; the first folder that has it wins."""
        for folder in self._folders:
            origin = folder / name / "recipe.toml"
            if "/" not in name and origin.is_file():
                break
        else:
            raise Rejected(
                f"There is no recipe {name!r}; {nearest(name, self.names())}",
                "Rename the folder or mend the ticket.",
                key="recipe-unknown",
            )
        stamp = tuple(
            (entry.name, entry.stat().st_mtime_ns) for entry in sorted(origin.parent.iterdir())
        )
        known = self._loaded.get(name)
        if known is None or known[0] != stamp:
            try:
                known = (stamp, load(origin.parent))
            except RecipeError as error:
                known = (stamp, error)
            self._loaded[name] = known
        if isinstance(known[1], RecipeError):
            raise known[1]
        return known[1]


def shipped() -> Path:
    """Find the recipes that come with zoetrope: in the wheel, or in a checkout's own folder."""
    inside = Path(__file__).parent.parent / "workflows"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "workflows"


def _check_places(recipe: Recipe, origin: Path) -> None:
    file = recipe.file
    if len({stage.name for stage in file.stages}) != len(file.stages) or not file.stages:
        raise RecipeError(f"{origin}: stages need to be there, and to have names of their own.")
    shared: list[str] = [*file.seed]
    shared += [place for parameter in file.parameters.values() for place in parameter.to]
    shared += [*file.size.width, *file.size.height] if file.size else []
    shared += [*file.length.to] if file.length else []
    shared += [*file.clip.fps] if file.clip else []
    if file.clip and file.clip.edge and file.clip.edge not in file.parameters:
        raise RecipeError(f"{origin}: there is no parameter {file.clip.edge!r}.")
    for place in shared:
        if not any(_has(graph, place) for graph in recipe.graphs.values()):
            raise RecipeError(f"{origin}: no graph has the place {place!r}.")
    for stage in file.stages:
        graph = recipe.graphs[stage.graph]
        own = [stage.prefix, stage.picture, stage.end_picture, stage.source]
        own += [stage.handoff.prefix] if stage.handoff else []
        for place in [p for p in own if p] + [p for r in stage.relief for p in r.set]:
            swapped = {node for relief in stage.relief for node in relief.swap}
            if not _has(graph, place) and place.partition(".")[0] not in swapped:
                raise RecipeError(f"{origin}: {stage.graph} has no place {place!r}.")
        for output in (stage.output, *([stage.handoff.output] if stage.handoff else [])):
            if output not in graph:
                raise RecipeError(f"{origin}: {stage.graph} has no node {output!r}.")


def _has(graph: Graph, place: str) -> bool:
    node, _, key = place.partition(".")
    return node in graph and key in graph[node].inputs
