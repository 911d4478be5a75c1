"""What `zoetrope reproduce` says of a receipt and a host, worked out from values alone."""

import json
from pathlib import Path

import msgspec
import pytest

from zoetrope.cli.differences import compare
from zoetrope.cli.receipt_file import PastReceipt, decode, unpack
from zoetrope.domain.environment import Environment, ModelFile, NodePack
from zoetrope.errors import ZoetropeError
from zoetrope.graphs.assembly import digest
from zoetrope.graphs.shelf import load
from zoetrope.web.environment_views import EngineEnvironment, Environments

RECIPES = Path(__file__).parents[1] / "recipes"

VAE = ModelFile(name="vae/v.safetensors", size=3, modified=5, sha256="a" * 64)
PACK = NodePack(name="KJNodes", version="1.2.3", source="git " + "b" * 40)
HAS = Environment(
    gpu="RTX 5090", driver="580.1", runtime="torch 2.11.0", models=(VAE,), packs=(PACK,)
)
NOW = EngineEnvironment(
    name="e0", up=True, version="0.27.1", attention="sageattn", memory=31.8, environment=HAS
)


def past(environment=HAS, **attempt) -> PastReceipt:
    made = {"engine": "e0", "version": "0.27.1", "attention": "sageattn", "memory": 31.8, **attempt}
    if environment is not None:
        made["environment"] = msgspec.to_builtins(environment)
    told = {
        "schema": 1,
        "job": "0" * 32,
        "recipe": "tiny",
        "recipe_version": "c" * 64,
        "stages": [{"name": "i2v", "attempts": [made]}],
        "stills": [{"sha256": "d" * 64}],
    }
    return decode(json.dumps(told).encode())


def here(**changes) -> Environments:
    return Environments(engines=(msgspec.structs.replace(NOW, **changes),), recipe="kept")


def having(**changes) -> Environments:
    return here(environment=msgspec.structs.replace(HAS, **changes))


def test_where_nothing_changed_nothing_is_told():
    found = compare(past(), here(), ("d" * 64,))
    assert (found.differs, found.unknown) == ((), ())


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (here(version="0.28.0"), "ComfyUI: 0.27.1 then, 0.28.0 now."),
        (here(attention="sdpa"), "The attention kernel: sageattn then, sdpa now."),
        (here(memory=15.6), "The GPU memory class: 32 GB then, 16 GB now"),
        (having(gpu="RTX 4090"), "The GPU: RTX 5090 then, RTX 4090 now."),
        (having(driver="590.2"), "The driver: 580.1 then, 590.2 now."),
        (having(runtime="torch 2.12.0"), "The runtime: torch 2.11.0 then, torch 2.12.0 now."),
        (
            having(models=(msgspec.structs.replace(VAE, sha256="e" * 64),)),
            "vae/v.safetensors is a different file: SHA-256 aaaaaaaaaaaa then, eeeeeeeeeeee now.",
        ),
        (
            having(models=(msgspec.structs.replace(VAE, sha256="", size=4, unknown="x"),)),
            "vae/v.safetensors is a different file: 3 bytes then, 4 now.",
        ),
        (having(packs=()), "The node pack KJNodes is missing now."),
        (
            having(packs=(PACK, NodePack(name="More"))),
            "The node pack More is new since then.",
        ),
        (
            having(packs=(msgspec.structs.replace(PACK, source="git " + "f" * 40),)),
            "The node pack KJNodes: 1.2.3 (git bbb",
        ),
        (
            having(packs=(NodePack(name="KJNodes", version="2"),)),
            "The node pack KJNodes: 1.2.3 then, 2 now.",
        ),
    ],
)
def test_each_difference_is_one_plain_sentence(now, words):
    found = compare(past(), now)
    (told,) = found.differs
    assert words in told


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (past(), Environments(engines=()), "No engine answers now"),
        (past(), here(up=False), "No engine answers now"),
        (past(None), here(), "earlier zoetrope"),
        (past(memory=0.0), here(), "memory class is unknown"),
        (past(attention=""), here(), "The attention kernel is unknown in the receipt."),
        (past(), here(version=""), "ComfyUI is unknown now."),
        (
            past(),
            having(models=(ModelFile(name=VAE.name, unknown="it is gone"),)),
            "its hash is unknown now: it is gone.",
        ),
        (
            past(
                msgspec.structs.replace(
                    HAS, models=(ModelFile(name=VAE.name, unknown="elsewhere"),)
                )
            ),
            here(),
            "its hash was unknown then: elsewhere.",
        ),
        (
            past(
                msgspec.structs.replace(
                    HAS, models=(msgspec.structs.replace(VAE, sha256="", unknown="not yet"),)
                )
            ),
            here(),
            "has the same size and time as then; its hash is unknown.",
        ),
        (past(), having(packs_unknown="no report", packs=()), "they are unknown now: no report."),
    ],
)
def test_what_cannot_be_compared_is_told_and_is_no_difference(then, now, words):
    found = compare(then, now)
    assert found.differs == ()
    assert any(words in told for told in found.unknown), found.unknown


def test_the_engine_of_then_is_compared_and_another_one_where_it_is_not_up():
    other = msgspec.structs.replace(NOW, name="e1", version="0.28.0")
    both = Environments(engines=(other, NOW), recipe="kept")
    assert compare(past(), both).differs == ()
    assert compare(past(engine="gone"), both).differs == ("ComfyUI: 0.27.1 then, 0.28.0 now.",)


def test_another_picture_is_a_difference_and_one_picture_of_a_loop_is_not():
    assert "picture" in compare(past(), here(), ("e" * 64,)).differs[0]
    loop = msgspec.structs.replace(past(), images=past().images * 2)
    assert compare(loop, here(), ("d" * 64, "d" * 64)).differs == ()


def packed(name="tiny", **files) -> PastReceipt:
    recipe = load(RECIPES / "tiny")
    texts = {file: content.decode() for file, content in recipe.files.items()} | files
    version = digest({file: text.encode() for file, text in texts.items()})
    return msgspec.structs.replace(past(), recipe=name, recipe_files=texts, recipe_version=version)


def test_an_unpacked_recipe_is_the_version_that_the_receipt_names(tmp_path):
    receipt = packed()
    home = unpack(receipt, tmp_path / "shelf")
    assert load(home).version == receipt.recipe_version
    assert unpack(receipt, tmp_path / "shelf") == home, "once more changes nothing"
    (home / "i2v.json").write_text("{}")
    with pytest.raises(ZoetropeError, match="exists already"):
        unpack(receipt, tmp_path / "shelf")


@pytest.mark.parametrize("name", ["../out", "a/b", "/abs", "..", ""])
def test_no_receipt_writes_outside_of_the_folder(tmp_path, name):
    with pytest.raises(ZoetropeError):
        unpack(packed(name), tmp_path / "shelf")
    assert list(tmp_path.iterdir()) == []


def test_no_file_of_a_receipt_leads_outside_of_the_folder(tmp_path):
    toml = (RECIPES / "tiny" / "recipe.toml").read_text()
    far = "../../evil.json"
    receipt = packed(**{
        "recipe.toml": toml.replace('graph = "i2v.json"', f'graph = "{far}"'),
        far: (RECIPES / "tiny" / "i2v.json").read_text(),
    })  # fmt: skip
    del receipt.recipe_files["i2v.json"]
    version = digest({file: text.encode() for file, text in receipt.recipe_files.items()})
    receipt = msgspec.structs.replace(receipt, recipe_version=version)
    with pytest.raises(ZoetropeError, match="leads out"):
        unpack(receipt, tmp_path / "shelf")
    assert list(tmp_path.iterdir()) == []
