"""Are the model files there that this host's recipes need?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import ZoetropeError
from ...graphs.shelf import Recipes
from ...models.manifest import catalogue, needs
from ...models.store import READY, FoundModel, Store, share
from ...runtime import Runtime
from ...settings import Settings
from ..base import CheckResult


class ModelsCheck:
    """Looks at sizes and remembered hashes; it never reads a model itself."""

    name = "models"

    def __init__(self, settings: Callable[[], Settings], recipes: Callable[[], Recipes]) -> None:
        # Asked at each look: a reload may change them.
        self._settings, self._recipes = settings, recipes

    async def look(self) -> CheckResult:
        """Say which recipes are not ready, and how far their files are."""
        try:
            found = await asyncio.to_thread(_look, self._settings(), self._recipes())
        except ZoetropeError as error:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=error.reason.sentence,
                next_step=error.reason.next_step or "Fix it, then run the check again.",
            )
        lacking = {
            name: [each for each in files if each.state not in READY]
            for name, files in found.items()
        }
        told = [
            f"{name} needs {len(files)} file{'s' if len(files) > 1 else ''},"
            f" {share(found[name]):.0%} there".replace("%", " %")
            for name, files in lacking.items()
            if files
        ]
        if not told:
            count = len({each.model.path for files in found.values() for each in files})
            return CheckResult(
                name=self.name,
                level="ok",
                found=f"All {count} files are present: {', '.join(found)}.",
            )
        wrong = [each for files in lacking.values() for each in files if each.state not in GROWING]
        step = "Fetch them: systemctl start zoetrope-models; or: zoetrope models fetch"
        if wrong:
            step = f"Remove {wrong[0].path}, which is {wrong[0].state}; then: zoetrope models fetch"
        return CheckResult(
            name=self.name,
            level="degraded",
            found=f"Missing or wrong: {'; '.join(told)}.",
            next_step=step,
        )


GROWING = frozenset({"missing", "partial"})


def _look(settings: Settings, shelf: Recipes) -> dict[str, list[FoundModel]]:
    wanted = settings.models
    assert wanted.path is not None
    store = Store(wanted.path, wanted.folders)
    known = catalogue(wanted)
    names = (settings.recipes.default,) if wanted.recipes is None else wanted.recipes
    found = {name: needs(shelf.get(name), known) for name in names}
    if wanted.extra:
        found["this host"] = tuple(known[f"{extra.folder}/{extra.file}"] for extra in wanted.extra)
    return {name: [store.look(model) for model in models] for name, models in found.items()}


def make(runtime: Runtime) -> ModelsCheck | None:
    """Make the check where the models' folder is known."""
    if runtime.settings.models.path is None:
        return None
    return ModelsCheck(lambda: runtime.settings, runtime.need_recipes)
