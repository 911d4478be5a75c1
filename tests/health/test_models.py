import msgspec
import pytest

from tests.fakes.opens import Opens
from zoetrope.graphs.shelf import Recipes, load, shipped
from zoetrope.health.checks.models import ModelsCheck
from zoetrope.health.standard import standard
from zoetrope.models.manifest import catalogue, needs
from zoetrope.models.store import Store
from zoetrope.settings import ModelsSettings, Settings

HERO, UPSCALE = "wan22-i2v-hero", "seedvr2-rife-upscale"


@pytest.fixture
def asked(tmp_path):
    """A check over a folder of models, with a way to put files there that only have the right size."""
    wanted = ModelsSettings(path=tmp_path / "models", recipes=(UPSCALE,))
    settings = msgspec.structs.replace(Settings(), models=wanted)
    store = Store(tmp_path / "models")
    shelf = Recipes((shipped(),))

    def put(*recipes, but=()):
        for recipe in recipes:
            for model in needs(load(shipped() / recipe), catalogue(ModelsSettings())):
                target = store.target(model)
                target.parent.mkdir(parents=True, exist_ok=True)
                if model.file not in but:
                    with target.open("wb") as sparse:
                        sparse.truncate(model.bytes)

    check = ModelsCheck(lambda: settings, lambda: shelf)
    check.put, check.store = put, store
    return check


async def test_all_files_there_is_ok(asked):
    asked.put(UPSCALE)
    verdict = await asked.look()
    assert (verdict.level, verdict.next_step) == ("ok", "")
    assert verdict.found == f"All 3 files are present: {UPSCALE}."


async def test_missing_files_are_counted_and_the_share_is_told(asked):
    asked.put(UPSCALE, but=("rife49.pth", "ema_vae_fp16.safetensors"))
    verdict = await asked.look()
    assert verdict.level == "degraded"
    assert verdict.found == f"Missing or wrong: {UPSCALE} needs 2 files, 87 % there."
    assert "zoetrope models fetch" in verdict.next_step


async def test_a_file_of_the_wrong_size_has_to_go_first(asked):
    asked.put(UPSCALE)
    wrong = asked.store.path / "rife/rife49.pth"
    wrong.write_bytes(b"a web page")
    verdict = await asked.look()
    assert "needs 1 file," in verdict.found
    assert str(wrong) in verdict.next_step
    assert "wrong size" in verdict.next_step


async def test_an_unknown_recipe_is_said(asked):
    wanted = ModelsSettings(path=asked.store.path, recipes=("no-such",))
    settings = msgspec.structs.replace(Settings(), models=wanted)
    check = ModelsCheck(lambda: settings, lambda: Recipes((shipped(),)))
    verdict = await check.look()
    assert verdict.level == "degraded"
    assert "no-such" in verdict.found
    assert verdict.next_step


async def test_what_has_not_changed_is_not_read_again_nor_on_the_event_loop(asked):
    asked.put(UPSCALE)
    with Opens() as first:
        await asked.look()
    with Opens() as second:
        await asked.look()

    assert first.on_loop == second.on_loop == []
    assert [name for name in second.all if name.endswith((".toml", "workflow.json"))] == []


def test_without_a_folder_models_are_the_engines_own_matter(parts):
    names = standard(parts).names
    assert "models" not in names
    wanted = msgspec.structs.replace(parts.settings.models, path=parts.settings.state.path)
    parts.settings = msgspec.structs.replace(parts.settings, models=wanted)
    assert "models" in standard(parts).names
