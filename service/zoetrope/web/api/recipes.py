"""The recipes over HTTP: what may be asked for, with every parameter and preset."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...errors import NotFound, RecipeError
from ...graphs.shelf import Recipes
from ...mistakes import nearest
from ...runtime import Runtime
from ..endpoint import JSON, Endpoint, reply
from ..recipe_views import RecipeList, RecipeView, broken, show


class RecipesApi:
    """The requests about recipes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        """Give the addresses of this area."""
        return [
            Endpoint(
                method="GET",
                path="/api/v1/recipes",
                handler=self.listing,
                gives={JSON: RecipeList},
            ),
            Endpoint(
                method="GET",
                path="/api/v1/recipes/{name}",
                handler=self.one,
                gives={JSON: RecipeView},
                problems=(404,),
            ),
        ]

    async def listing(self, _: web.Request) -> web.Response:
        """List every recipe with its parameters and presets; one that is broken says why."""
        return reply(RecipeList(recipes=tuple(await asyncio.to_thread(self._all))))

    async def one(self, request: web.Request) -> web.Response:
        """Show one recipe."""
        name = request.match_info["name"]
        recipes = self._runtime.need_recipes()
        names = await asyncio.to_thread(recipes.names)
        if name not in names:
            raise NotFound(
                f"There is no recipe {name[:100]!r}; {nearest(name[:100], names)}",
                "`zoetrope recipes` lists them.",
                key="recipe-unknown",
            )
        return reply(await asyncio.to_thread(self._look, recipes, name))

    def _all(self) -> list[RecipeView]:
        recipes = self._runtime.need_recipes()
        return [self._look(recipes, name) for name in recipes.names()]

    def _look(self, recipes: Recipes, name: str) -> RecipeView:
        default = name == self._runtime.settings.recipes.default
        try:
            return show(recipes.get(name), default=default)
        except RecipeError as error:
            return broken(name, error.reason, default=default)
