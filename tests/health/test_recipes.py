import shutil

import msgspec
import pytest

from tests.conftest import RECIPES
from tests.web.fakes import make_job
from zoetrope.domain.job import State
from zoetrope.domain.values import Ticket
from zoetrope.graphs.shelf import Recipes
from zoetrope.graphs.versions import Versions
from zoetrope.health.checks.recipes import RecipesCheck


@pytest.fixture(autouse=True)
def default(parts):
    """Let a bare picture get the recipe that there is."""
    asked = msgspec.structs.replace(parts.settings.recipes, default="tiny")
    parts.settings = msgspec.structs.replace(parts.settings, recipes=asked)


@pytest.fixture
async def accept(parts, tmp_path):
    """Put a job into the ledger that was accepted with the recipe as it is now."""
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "tiny")
    parts.recipes = Recipes((tmp_path / "recipes",), Versions(tmp_path / "versions"))

    async def add(state=State.QUEUED):
        version = parts.recipes.versions.keep(parts.recipes.get("tiny"))
        job = msgspec.structs.replace(
            make_job(state), ticket=Ticket(recipe="tiny"), recipe_version=version
        )
        await parts.ledger.add(job, claim=job.id)

    return add


async def test_jobs_of_the_recipe_of_today_are_nothing_to_tell(parts, accept):
    await accept()
    assert await RecipesCheck(parts).look() is None


async def test_jobs_that_run_an_older_version_are_counted(parts, accept, tmp_path):
    await accept()
    await accept(State.REVIEW)
    await accept(State.DONE)
    with (tmp_path / "recipes" / "tiny" / "recipe.toml").open("a") as file:
        file.write("# edited\n")
    await accept()
    verdict = await RecipesCheck(parts).look()
    assert verdict.level == "ok"
    assert verdict.found.startswith("2 jobs run tiny in the version with which they were accepted")


async def test_a_recipe_that_is_gone_or_broken_is_edited_too(parts, accept, tmp_path):
    await accept()
    (tmp_path / "recipes" / "tiny" / "recipe.toml").write_text("title = 3")
    assert "1 job runs tiny" in (await RecipesCheck(parts).look()).found
    shutil.rmtree(tmp_path / "recipes" / "tiny")
    shutil.copytree(RECIPES / "tiny", tmp_path / "recipes" / "else")
    asked = msgspec.structs.replace(parts.settings.recipes, default="else")
    parts.settings = msgspec.structs.replace(parts.settings, recipes=asked)
    assert "1 job runs tiny" in (await RecipesCheck(parts).look()).found


async def test_a_default_that_is_no_recipe_is_degraded_with_the_nearest(parts, accept):
    asked = msgspec.structs.replace(parts.settings.recipes, default="tinny")
    parts.settings = msgspec.structs.replace(parts.settings, recipes=asked)
    verdict = await RecipesCheck(parts).look()
    assert verdict.level == "degraded"
    assert "'tinny'" in verdict.found
    assert "tiny" in verdict.next_step


async def test_nothing_is_said_before_the_service_is_there(parts):
    parts.recipes = None
    assert await RecipesCheck(parts).look() is None
