import msgspec
import pytest

from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.health.checks.memory import MemoryCheck
from zoetrope.jobs.memory_budget import GIB, HostMemory
from zoetrope.settings import EngineSettings, ModelsSettings


@pytest.fixture
def look(parts, tmp_path):
    async def look(gigabytes, *, recipe="seedvr2-rife-upscale", ask=True):
        file = tmp_path / "0.json" if ask else None
        parts.settings = msgspec.structs.replace(
            parts.settings,
            engines=(EngineSettings(name="gpu-0", flag_request=file),),
            models=ModelsSettings(recipes=(recipe,)),
        )
        parts.recipes = Recipes((shipped(),))
        memory = HostMemory(total=int(gigabytes * GIB))
        return await MemoryCheck(parts, lambda _: memory).look()

    return look


async def test_what_comfyui_needs_is_shown_with_what_it_keeps(look):
    verdict = await look(62.7)
    assert verdict.level == "ok"
    assert "GiB of model files" in verdict.found
    assert "of 58.7 GiB" in verdict.found


async def test_a_stage_that_does_not_fit_is_degraded_with_what_helps(look):
    verdict = await look(15.4)
    assert verdict.level == "degraded"
    assert "are missing" in verdict.found
    assert "more memory or swap" in verdict.next_step


async def test_what_is_not_known_is_no_fault_of_the_host(look):
    verdict = await look(62.7, recipe="no-such-recipe")
    assert verdict.level == "ok"
    assert "no-such-recipe" in verdict.found


async def test_engines_that_cannot_be_asked_are_not_looked_at(look):
    assert await look(62.7, ask=False) is None
