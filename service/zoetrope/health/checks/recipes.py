"""Is the default recipe there, and do jobs still run recipes as they were before someone edited them?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ...errors import RecipeError, Rejected
from ...graphs.shelf import Recipes
from ...mistakes import nearest
from ...runtime import Runtime
from ..base import CheckResult


class RecipesCheck:
    """Looks for the default recipe, and compares the versions that unfinished jobs were accepted with to the recipes of today."""

    name = "recipes"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def look(self) -> CheckResult | None:
        """Say what is wrong with the default, or how many jobs run an older version; None if nothing is to tell."""
        ledger, recipes = self._runtime.ledger, self._runtime.recipes
        if ledger is None or recipes is None:
            return None
        default = self._runtime.settings.recipes.default
        names = await asyncio.to_thread(recipes.names)
        if default not in names:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"recipes.default is {default!r}, which does not exist: pictures whose folder or"
                " ticket names no recipe are rejected.",
                next_step=f"Fix it in the settings; {nearest(default, names)}",
            )
        accepted = await ledger.accepted()
        older = await asyncio.to_thread(_older, accepted, recipes)
        if not older:
            return None
        told = (
            f"{number} {'job runs' if number == 1 else 'jobs run'} {name}"
            for name, number in older.items()
        )
        return CheckResult(
            name=self.name,
            level="ok",
            found=f"{', '.join(told)} in the version with which they were accepted; it was edited since.",
        )


def _older(accepted: Mapping[tuple[str, str], int], recipes: Recipes) -> dict[str, int]:
    found: dict[str, int] = {}
    for (name, version), number in sorted(accepted.items()):
        try:
            now = recipes.get(name).version
        except (RecipeError, Rejected):
            now = ""  # gone, or broken: what jobs run is another one in any case
        if version != now:
            found[name] = found.get(name, 0) + number
    return found


def make(runtime: Runtime) -> RecipesCheck:
    """Make the check."""
    return RecipesCheck(runtime)
