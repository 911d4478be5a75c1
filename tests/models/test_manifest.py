"""What recipes need, worked out from their graphs, and what is known of it."""

import re
from pathlib import Path

import pytest

from tests.conftest import RECIPES
from tests.fakes.opens import Opens
from zoetrope.errors import RecipeError
from zoetrope.graphs.shelf import Recipes, load, shipped
from zoetrope.models.manifest import Model, catalogue, needs, together
from zoetrope.settings import ExtraModel, ModelsSettings

KNOWN = catalogue(ModelsSettings())


@pytest.mark.parametrize("name", Recipes((shipped(),)).names())
def test_all_that_a_shipped_recipe_needs_can_be_fetched(name):
    found = needs(Recipes((shipped(),)).get(name), KNOWN)
    assert found
    for model in found:
        assert model.bytes, model.path
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256), model.path
        assert model.url.startswith("https://"), model.path
        assert model.basis


def test_the_hero_needs_both_experts_and_what_its_upscale_loads():
    hero = load(shipped() / "wan22-i2v-hero")
    assert {model.path for model in needs(hero, KNOWN)} == {
        "diffusion_models/wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors",
        "diffusion_models/wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors",
        "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
        "vae/wan_2.1_vae.safetensors",
        "SEEDVR2/seedvr2_ema_3b_fp8_e4m3fn.safetensors",
        "SEEDVR2/ema_vae_fp16.safetensors",
        "rife/rife49.pth",
    }


def test_no_two_entries_of_a_folder_are_the_same_file():
    hashes = [(model.folder, model.sha256) for model in KNOWN.values() if model.sha256]
    assert len(set(hashes)) == len(hashes)
    sizes = {(model.sha256, model.bytes) for model in KNOWN.values() if model.sha256}
    assert len(sizes) == len({digest for digest, _ in sizes})
    assert all(model.url.endswith(f"/{model.file}") for model in KNOWN.values())


def test_a_file_that_nobody_knows_is_named_all_the_same(tmp_path):
    for file in (RECIPES / "tiny").iterdir():
        text = file.read_text().replace("wan_2.1_vae.safetensors", "mine.safetensors")
        (tmp_path / file.name).write_text(text)
    found = {model.path: model for model in needs(load(tmp_path), KNOWN)}
    assert found["vae/mine.safetensors"] == Model(file="mine.safetensors", folder="vae")


def test_an_operators_own_entry_comes_before_the_shipped_one():
    extra = ExtraModel(file="rife49.pth", folder="rife", url="http://here/x", sha256="A" * 64)
    known = catalogue(ModelsSettings(extra=(extra,)))
    assert known["rife/rife49.pth"].url == "http://here/x"
    assert known["rife/rife49.pth"].sha256 == "a" * 64


def test_a_file_that_two_recipes_need_is_listed_once():
    model = Model(file="a", folder="vae")
    other = Model(file="b", folder="vae")
    assert together([("one", [model]), ("two", [model, other])]) == {
        "vae/a": (model, ("one", "two")),
        "vae/b": (other, ("two",)),
    }


def test_a_broken_catalogue_is_an_error_with_its_place(tmp_path):
    (tmp_path / "models.toml").write_text('[[model]]\nfile = "x"\nfolder = "vae"\nsize = 3\n')
    with pytest.raises(RecipeError, match="size"):
        catalogue(ModelsSettings(), tmp_path / "models.toml")


def test_the_page_names_every_kind_of_file_whose_hash_nobody_knows():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    unknown = {model.file for model in KNOWN.values() if not (model.bytes and model.sha256)}
    kinds = {re.search(r"(Q\d_\w+|seedvr2\w+)\.(gguf|safetensors)$", file)[1] for file in unknown}
    assert kinds == set(re.findall(r"Q\d_\w+|seedvr2_\w+", page))


def test_a_manifest_is_read_again_once_it_has_changed_and_not_before(tmp_path):
    file = tmp_path / "models.toml"
    file.write_text('[[model]]\nfile = "a"\nfolder = "vae"\n')
    assert set(catalogue(ModelsSettings(), file)) == {"vae/a"}
    with Opens() as opens:
        assert set(catalogue(ModelsSettings(), file)) == {"vae/a"}
    assert not opens.all
    file.write_text('[[model]]\nfile = "bb"\nfolder = "vae"\n')
    assert set(catalogue(ModelsSettings(), file)) == {"vae/bb"}
    file.unlink()
    with pytest.raises(RecipeError, match=r"models\.toml"):
        catalogue(ModelsSettings(), file)
