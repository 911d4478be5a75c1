"""The shelf: where recipes are found, and the check that each one's places exist."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..domain.job import Job
from ..errors import RecipeError, Rejected
from ..mistakes import nearest
from ..settings import Settings
from . import shared
from .assembly import FILE, assemble
from .recipe import Recipe
from .versions import Versions


def load(folder: Path) -> Recipe:
    """Read one recipe's folder and what it shares with its neighbours, and check all that it names."""
    common = _shared_by(folder)
    return assemble(
        folder.name,
        lambda name: (common if name == shared.FILE else folder / name).read_bytes(),
        lambda name: common if name == shared.FILE else folder / name,
    )


class Recipes:
    """All recipes that can be found; the folders are read again when a file of theirs changes."""

    def __init__(self, folders: tuple[Path, ...], versions: Versions | None = None) -> None:
        self._folders = folders
        self.versions = versions if versions is not None else Versions()
        self._loaded: dict[str, tuple[object, Recipe | RecipeError]] = {}

    def names(self) -> list[str]:
        """List every recipe's name, sound or not."""
        return sorted(
            {
                entry.name
                for folder in self._folders
                if folder.is_dir()
                for entry in folder.iterdir()
                if (entry / FILE).is_file()
            }
        )

    def get(self, name: str) -> Recipe:
        """Load a recipe by name; the first folder that has it wins."""
        # Looked up among what is there, never on the disk: a name may be anything a ticket can say.
        if name not in (names := self.names()):
            raise Rejected(
                f"There is no recipe {name[:100]!r}; {nearest(name[:100], names)}",
                "Rename the folder or fix the ticket.",
                key="recipe-unknown",
            )
        places = (folder / name / FILE for folder in self._folders)
        origin = next(place for place in places if place.is_file())
        stamp = tuple(
            (entry.name, entry.stat().st_mtime_ns)
            for entry in (*sorted(origin.parent.iterdir()), _shared_by(origin.parent))
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

    def find_version(self, version: str, name: str) -> Recipe | None:
        """Find a version among those that are kept, else as the recipe that has the name now."""
        if self.versions.has(version):
            return self.versions.get(version)
        try:
            now = self.get(name)
        except (RecipeError, Rejected):
            return None
        return now if now.version == version else None

    def accepted(self, version: str, name: str) -> Recipe:
        """Give the recipe that a job was accepted with; jobs of an older zoetrope know only its name."""
        return self.versions.get(version) if version else self.get(name)

    async def of(self, job: Job) -> Recipe:
        """Give a job's recipe as the job was accepted with it, read on a thread."""
        return await asyncio.to_thread(self.accepted, job.recipe_version, job.ticket.recipe)


def of_host(settings: Settings, versions: Versions | None = None) -> Recipes:
    """Give the recipes that a host's settings lead to: the shipped ones, its own folders, those in its state."""
    folders = (shipped(), *settings.recipes.path, settings.state.path / "recipes")
    return Recipes(folders, versions or Versions(settings.recipe_versions))


def shipped() -> Path:
    """Find the recipes that come with zoetrope: in the wheel, or in a checkout's own folder."""
    inside = Path(__file__).parent.parent / "workflows"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "workflows"


def _shared_by(folder: Path) -> Path:
    """Find what a recipe shares with its neighbours; a shelf without it of its own has the shipped."""
    own = folder.parent / shared.FILE
    return own if own.is_file() else shipped() / shared.FILE
