"""The shipped catalogue says what the recorded server said, and both its spellings can be read."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from zoetrope.graphs import catalog

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pinned():
    return catalog.load()


def test_the_pinned_catalogue_is_shipped(pinned):
    assert catalog.PINNED in catalog.versions()
    assert pinned.comfyui == catalog.PINNED
    assert {"ComfyUI-GGUF", "RES4LYF", "ComfyUI-KJNodes"} < set(pinned.packs)


def test_the_catalogue_is_of_the_pinned_release_and_of_the_pinned_packs(pinned):
    """Of a patch release whose tree cannot be had, an earlier patch of the same minor version stands for it."""
    pins = json.loads((ROOT / "nix" / "pins.json").read_text())["sources"]
    assert pinned.comfyui.split(".")[:2] == pins["comfyui"]["version"].split(".")[:2]
    revisions = {pin["repo"]: pin["rev"] for name, pin in pins.items() if name != "comfyui"}
    # Of a pack that was not there it is said with which version its nodes were recorded.
    recorded = {name: told.partition(",")[0] for name, told in pinned.packs.items()}
    assert recorded == {name: revision[:8] for name, revision in revisions.items()}


def test_the_packs_of_a_catalogue_are_those_of_its_nodes(pinned):
    assert {node.pack for node in pinned.nodes.values()} == {"core", *pinned.packs}


def test_an_unknown_version_is_named_with_the_known_ones():
    with pytest.raises(LookupError, match=r"0\.1.*known: .*0\.27\.1"):
        catalog.load("0.1")


def test_a_sampler_has_its_ranges_and_options(pinned):
    node = pinned.get("KSamplerAdvanced")

    steps = node.inputs["steps"]
    assert (steps.type, steps.default, steps.min, steps.max) == ("INT", 20, 1, 10000)
    assert steps.required
    assert not steps.is_link
    assert node.inputs["add_noise"].options == ("enable", "disable")
    assert "res_2s" in node.inputs["sampler_name"].options
    assert node.inputs["model"].is_link
    assert node.outputs == ("LATENT",)
    assert not node.output_node


def test_output_nodes_and_names_are_known(pinned):
    assert pinned.get("SaveVideo").output_node
    assert pinned.get("WanImageToVideo").output_names == ("positive", "negative", "latent")
    assert pinned.get("Nope") is None


def test_model_lists_name_their_folder_and_hold_no_files(pinned):
    unet = pinned.get("UNETLoader").inputs["unet_name"]

    assert unet.files == "diffusion_models"
    assert unet.options is None
    assert catalog.all_options(unet, lambda folder: [folder]) == ["diffusion_models"]
    assert pinned.get("LoadImage").inputs["image"].files == "input/image"
    assert pinned.get("VAELoader").inputs["vae_name"].options == ("pixel_space",)


def test_devices_are_those_of_a_host_with_a_card(pinned):
    dit = pinned.get("SeedVR2LoadDiTModel").inputs

    assert dit["device"].options == ("cuda:0", "cpu")
    assert dit["offload_device"].options == ("none", "cpu", "cuda:0")


def test_a_growing_input_knows_its_slots(pinned):
    slots = pinned.get("BatchImagesNode").inputs["images"].slots

    assert (slots.type, slots.prefix, slots.min) == ("IMAGE", "image", 1)


def test_an_option_of_a_dynamic_choice_knows_what_it_asks_for(pinned):
    branches = pinned.get("ResizeImageMaskNode").inputs["resize_type"].branches

    assert list(branches["scale dimensions"]) == ["width", "height", "crop"]
    assert branches["scale dimensions"]["crop"].options == ("disabled", "center")
    assert branches["match size"]["match"].type == "IMAGE,MASK"


def test_the_file_form_is_read_as_it_was_written(pinned):
    assert catalog.decode(catalog.encode(pinned)) == pinned


def test_a_file_whose_parts_do_not_fit_together_is_no_catalogue():
    node = b'{"inputs": {"seed": 7}}'
    data = b'{"comfyui": "1", "packs": {}, "options": [], "inputs": [], "nodes": {"A": %s}}' % node
    with pytest.raises(msgspec.DecodeError, match="fit together"):
        catalog.decode(data)


def test_what_is_spelled_as_object_info_is_read_back(pinned):
    info = json.loads(
        json.dumps(
            {name: catalog.node_info(pinned, name, lambda _folder: []) for name in pinned.nodes}
        )
    )

    again = catalog.from_object_info(info, comfyui=pinned.comfyui)

    assert set(again.nodes) == set(pinned.nodes)
    for name in (
        "KSampler", "SaveVideo", "RIFE VFI", "SeedVR2VideoUpscaler", "CLIPLoader",
        "ResizeImageMaskNode",
    ):  # fmt: skip
        mine, theirs = again.nodes[name], pinned.nodes[name]
        assert mine.outputs == theirs.outputs
        for key, item in theirs.inputs.items():
            if not item.files:
                assert mine.inputs[key] == item


def test_both_spellings_of_a_choice_are_read():
    info = {
        "A": {
            "input": {
                "required": {"old": [["a", "b"], {"default": "a"}]},
                "optional": {"new": ["COMBO", {"options": ["c"], "multiselect": False}]},
            },
            "output": ["IMAGE"],
            "output_name": ["picture"],
            "output_is_list": [True],
            "output_node": True,
            "python_module": "custom_nodes.Pack",
        }
    }

    node = catalog.from_object_info(info, comfyui="x").nodes["A"]

    assert (node.inputs["old"].options, node.inputs["old"].default) == (("a", "b"), "a")
    assert node.inputs["old"].required
    assert (node.inputs["new"].options, node.inputs["new"].required) == (("c",), False)
    assert node.inputs["new"].multiselect is False
    assert (node.pack, node.output_names, node.lists) == ("Pack", ("picture",), (0,))


def test_loading_it_brings_no_heavy_library():
    code = (
        "import sys; from zoetrope.graphs import catalog; catalog.load();"
        "print([m for m in ('numpy', 'av', 'PIL', 'aiohttp') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
