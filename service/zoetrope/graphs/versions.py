"""The recipes that jobs were accepted with, kept by their digest; no one looks for recipes here by name."""

from __future__ import annotations

import contextlib
import errno
import shutil
import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from ..durable import sync, write
from ..errors import RecipeError
from ..structs import UNREADABLE, primed
from .assembly import assemble, digest
from .recipe import Recipe

INDEX = "index.json"


class Index(msgspec.Struct, frozen=True):
    """Which of a version's files is which: a recipe's own names may lead anywhere."""

    name: str
    files: dict[str, str]


class Versions:
    """A folder for each version, with the recipe's files as they were; all calls block on the disk.

    Without a folder, versions are kept for as long as the process lasts.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._known: dict[str, Recipe] = {}
        self._kept: set[str] = set()  # by this process: their jobs may not be written yet
        self._one = threading.Lock()

    def keep(self, recipe: Recipe) -> str:
        """Keep a recipe's files, durably; gives the version by which they are found again."""
        with self._one:
            if recipe.version not in self._kept:
                if self._root is not None and not (self._root / recipe.version / INDEX).is_file():
                    self._write(recipe, self._root)
                self._kept.add(recipe.version)
            self._known[recipe.version] = recipe
        return recipe.version

    def get(self, version: str) -> Recipe:
        """Give a recipe as it was kept, or RecipeError."""
        with self._one:
            if version not in self._known:
                self._known[version] = self._read(version)
            return self._known[version]

    def has(self, version: str) -> bool:
        """Tell whether a version is there and can be read."""
        try:
            self.get(version)
        except RecipeError:
            return False
        return True

    def restore(self, version: str, name: str, files: Mapping[str, str]) -> Recipe:
        """Keep a version again from its files, as a receipt holds them; RecipeError if they are not that version."""

        recipe = unpacked(version, name, files)
        self.keep(recipe)
        return recipe

    def names(self) -> frozenset[str]:
        """List what lies in the folder: versions, and what a crash left of some."""
        if self._root is None or not self._root.is_dir():
            return frozenset()
        return frozenset(folder.name for folder in self._root.iterdir())

    def forget(self, unused: Iterable[str]) -> tuple[str, ...]:
        """Remove versions that no job names, but none that this process has kept; gives their names."""
        with self._one:
            if self._root is None:
                return ()
            left = sorted(set(unused) - self._kept)
            for name in left:
                # Its index first: what is half removed must not pass for a version.
                with contextlib.suppress(OSError):
                    (self._root / name / INDEX).unlink()
                shutil.rmtree(self._root / name, ignore_errors=True)
                self._known.pop(name, None)
        return tuple(left)

    def _write(self, recipe: Recipe, root: Path) -> None:
        part = root / f".{uuid.uuid4().hex}.part"
        part.mkdir(parents=True)
        try:
            # Plain names stay as they are, for people who look at them.
            names = {
                name: name
                if Path(name).name == name != INDEX
                else f"file-{number}{Path(name).suffix}"
                for number, name in enumerate(recipe.files)
            }
            for name, content in recipe.files.items():
                write(part / names[name], content)
            write(part / INDEX, msgspec.json.encode(Index(recipe.name, names)))
            sync(part)
            # Without its index: unfinished.
            shutil.rmtree(root / recipe.version, ignore_errors=True)
            part.rename(root / recipe.version)
            sync(root)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _read(self, version: str) -> Recipe:
        if self._root is None:
            raise _lost(version, "it was not kept")
        folder = self._root / version
        try:
            index = msgspec.json.decode((folder / INDEX).read_bytes(), type=primed(Index))
        except (OSError, *UNREADABLE) as error:
            raise _lost(version, str(error)) from error

        def place(name: str) -> Path:
            return folder / index.files.get(name, name)

        recipe = assemble(index.name, lambda name: place(name).read_bytes(), place)
        if recipe.version != version:
            raise _lost(version, "its files were changed")
        return recipe


def unpacked(version: str, name: str, files: Mapping[str, str]) -> Recipe:
    """Make a recipe of the files that a receipt holds; RecipeError if they are not the version that it names."""
    content = {file: text.encode("utf-8", "surrogatepass") for file, text in files.items()}
    if digest(content) != version:
        raise RecipeError(
            f"The recipe files of the receipt are not the version {version[:12]}.",
            "Take the receipt as zoetrope wrote it; these were changed since.",
            key="recipe-version",
        )

    def read(file: str) -> bytes:
        if file not in content:
            raise FileNotFoundError(errno.ENOENT, "the receipt lacks it")
        return content[file]

    return assemble(name, read, lambda file: f"recipe_files of the receipt, {file}")


def _lost(version: str, why: str) -> RecipeError:
    return RecipeError(
        f"The version {version[:12]} of a recipe, with which a job was accepted, cannot be read"
        f" ({why}).",
        "Restore the folder recipe-versions in the state folder, or cancel the job and drop its"
        " picture again.",
        key="recipe-version",
    )
