"""A recording for the product holds no file and no device of the host that it was made on."""

import pytest

from tests.comfyui.record import shipped, with_packs
from zoetrope.graphs import catalog

PINNED, BEFORE = catalog.load(), catalog.load("0.27.1")


def files(folder):
    return [] if folder == "other" else [f"{folder.replace('/', '-')}.file"]


@pytest.fixture(scope="module")
def again():
    told = {name: catalog.node_info(PINNED, name, files) for name in PINNED.nodes}
    folders = {
        item.files: files(item.files)
        for node in PINNED.nodes.values()
        for item in node.inputs.values()
        if item.files not in {"", "input_folders"}  # of those a server tells in no list
    }
    elsewhere = told["SaveImage"] | {"python_module": "comfy_api_nodes.nodes_bria"}
    told["Elsewhere"] = elsewhere
    return shipped(told, PINNED.comfyui, folders, BEFORE)


def test_the_shipped_catalogue_is_recorded_again_as_it_is(again):
    assert set(again.nodes) == set(PINNED.nodes)
    different = [
        f"{name}.{key}"
        for name, node in PINNED.nodes.items()
        for key, item in node.inputs.items()
        # How an input grows is not told by the spelling that the simulated engine has.
        if again.nodes[name].inputs[key] != item and item.slots is None
    ]
    assert different == []


def test_a_pack_that_was_not_there_is_kept_and_it_is_said(again):
    packs = {name: rev for name, rev in PINNED.packs.items() if name != "RES4LYF"}
    found = with_packs(again, BEFORE, packs, ["RES4LYF"])
    assert found.packs["RES4LYF"] == "022c873c, recorded with 0.27.1"
    assert found.nodes["ClownsharKSampler_Beta"] == BEFORE.nodes["ClownsharKSampler_Beta"]
    without = with_packs(again, BEFORE, packs, [])
    assert "ClownsharKSampler_Beta" not in without.nodes
