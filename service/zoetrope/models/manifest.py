"""Which model files there are to be had, and which of them a recipe needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from .. import tables
from ..errors import RecipeError
from ..graphs.loaders import loaded
from ..graphs.recipe import Recipe
from ..graphs.shelf import shipped
from ..settings import ExtraModel, ModelsSettings
from ..structs import primed

FILE = "models.toml"

# By file: what it was when it was read, and what it said.
_KNOWN: dict[Path, tuple[tuple[int, int, int], tuple[Model, ...]]] = {}


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: where it belongs, what it has to be, where it comes from."""

    file: str
    folder: str
    bytes: int | None = None
    sha256: str = ""
    url: str = ""
    basis: str = ""

    @property
    def path(self) -> str:
        """Its place below a folder of models."""
        return f"{self.folder}/{self.file}"


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[Model, ...]


def catalogue(settings: ModelsSettings, file: Path | None = None) -> dict[str, Model]:
    """Give every known file by its path; an operator's own entries come before the shipped ones."""
    own = [_own(extra) for extra in settings.extra]
    return {model.path: model for model in (*_read(file or shipped() / FILE), *own)}


def _read(origin: Path) -> tuple[Model, ...]:
    """Read a manifest, and again only when its file has changed: every request for a linting asks for it."""
    try:
        look = origin.stat()
        stamp = (look.st_ino, look.st_size, look.st_mtime_ns)
        known = _KNOWN.get(origin)
        if known is None or known[0] != stamp:
            found = tables.read(origin.read_text(encoding="utf-8"))
            known = _KNOWN[origin] = (stamp, msgspec.convert(found, primed(_Manifest)).model)
    except (OSError, UnicodeDecodeError, tables.BrokenTable, msgspec.ValidationError) as error:
        raise RecipeError(f"{origin}: {error}.", "Fix it, or reinstall zoetrope.") from error
    return known[1]


def needs(recipe: Recipe, known: Mapping[str, Model]) -> tuple[Model, ...]:
    """List what a recipe's graphs load; a file that no one knows more about has its name alone."""
    found: dict[str, Model] = {}
    for stage in recipe.file.stages:
        for loader, name in loaded(recipe.graphs[stage.graph]):
            model = Model(file=name, folder=loader.folder)
            found.setdefault(model.path, known.get(model.path, model))
    return tuple(found.values())


def together(
    recipes: Iterable[tuple[str, Iterable[Model]]],
) -> dict[str, tuple[Model, tuple[str, ...]]]:
    """Join the needs of several recipes: each file once, with the recipes that need it."""
    found: dict[str, tuple[Model, tuple[str, ...]]] = {}
    for name, models in recipes:
        for model in models:
            _, users = found.get(model.path, (model, ()))
            found[model.path] = (model, (*users, name))
    return found


def _own(extra: ExtraModel) -> Model:
    return Model(
        file=extra.file,
        folder=extra.folder,
        bytes=extra.bytes,
        sha256=extra.sha256.lower(),
        url=extra.url,
        basis="this host's settings",
    )
