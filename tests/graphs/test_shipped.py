"""Every shipped recipe, in every form that it can take, is one that the pinned ComfyUI accepts."""

from collections.abc import Iterator
from itertools import chain

import msgspec
import pytest

from tests.fakes.source_image import plain_image
from zoetrope.domain.values import SourceImage
from zoetrope.engine.simulated.models import DEFAULT_MODELS
from zoetrope.engine.simulated.validate import Lists, validate
from zoetrope.graphs import catalog
from zoetrope.graphs.document import Document, decode
from zoetrope.graphs.fit import declared
from zoetrope.graphs.graph import Graph, put
from zoetrope.graphs.loaders import loaded
from zoetrope.graphs.recipe import Recipe
from zoetrope.graphs.recipe_file import StageSpec
from zoetrope.graphs.release import is_older
from zoetrope.graphs.shelf import Recipes, shipped
from zoetrope.inbox.ticket import resolve
from zoetrope.models.manifest import catalogue
from zoetrope.settings import ModelsSettings

SHELF = Recipes((shipped(),))
NAMES = SHELF.names()
PINNED = catalog.load()
LISTS = Lists(lambda folder: list(DEFAULT_MODELS.get(folder, ())), lambda _name: True)
FILES = {"picture": "a.png", "end_picture": "b.png", "source": "c.mp4"}


def image(recipe: Recipe, sha256: str = "0") -> SourceImage:
    clip = recipe.file.clip
    return plain_image(
        "cat",
        sha256=sha256 * 64,
        width=480,
        height=832,
        frames=clip.frames if clip else 0,
        fps=16.0 if clip else 0.0,
    )


def build(
    recipe: Recipe, stage: StageSpec, fallbacks: tuple[str, ...] = (), **asked: object
) -> Graph:
    ticket = resolve(asked, recipe)
    plan = recipe.plan(ticket, image(recipe), 7, end=image(recipe))
    return recipe.build(plan, stage, files=FILES, prefix="p/1", fallbacks=fallbacks)


def wishes(recipe: Recipe) -> Iterator[dict[str, object]]:
    """Everything that somebody may ask for by a name: nothing, each preset, each choice."""
    yield {}
    for name in recipe.file.presets:
        yield {"preset": name}
    for name, parameter in recipe.file.parameters.items():
        options = (True, False) if parameter.type == "bool" else parameter.allowed
        yield from ({name: option} for option in options)
        yield from ({name: edge} for edge in _edges(parameter.type, parameter.min, parameter.max))


def _edges(kind: str, low: float | None, high: float | None) -> Iterator[object]:
    for edge in (low, high):
        if edge is not None:
            yield int(edge) if kind == "int" else float(edge)


def forms(recipe: Recipe) -> Iterator[tuple[str, Graph]]:
    """Build every stage on every card, with every wish, and after every relief."""
    for stage in recipe.file.stages:
        names = tuple(fallbacks.name for fallbacks in stage.fallbacks)
        for gigabytes in (0, *recipe.file.memory):
            card = recipe.on(gigabytes)
            for wish in wishes(card):
                if "resolution" in wish and wish["resolution"] == 480:
                    continue  # no larger than the clip that it is made from
                yield f"{stage.name} {gigabytes} {wish}", build(card, stage, **wish)
            longest = {"frames": recipe.file.length.max} if recipe.file.length else {}
            for count in range(len(names) + 1):
                fallbacks = names[:count]
                yield (
                    f"{stage.name} {gigabytes} {fallbacks}",
                    build(card, stage, fallbacks, **longest),
                )


@pytest.mark.parametrize("name", NAMES)
def test_the_pinned_comfyui_takes_every_form_of_a_recipe(name):
    for form, graph in forms(SHELF.get(name)):
        verdict = validate(Document(nodes=graph), PINNED, LISTS, None)
        assert not verdict.error, (form, verdict.error)
        assert not verdict.node_errors, (form, verdict.node_errors)


def every_graph() -> list[tuple[str, Graph]]:
    files = sorted(shipped().glob("*/*.json"))
    return [(f"{f.parent.name}/{f.name}", decode(f.read_bytes(), str(f))) for f in files]


@pytest.mark.parametrize(("file", "graph"), every_graph())
def test_a_graph_says_what_each_node_is_for_and_nothing_that_its_node_does_not_know(file, graph):
    assert not validate(Document(nodes=graph), PINNED, LISTS, None).node_errors
    titles = [node.meta["title"] for node in graph.values()]
    assert all(0 < len(title) <= 40 for title in titles)
    assert len(set(titles)) == len(titles)
    for key, node in graph.items():
        signature = PINNED.nodes[node.class_type]
        # Formats of VHS bring inputs of their own.
        if node.class_type != "VHS_VideoCombine":
            assert set(node.inputs) <= {name for name, _ in declared(signature, node.inputs)}, key


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_the_node_packs_that_it_needs(name):
    recipe = SHELF.get(name)
    classes = {node.class_type for graph in recipe.graphs.values() for node in graph.values()}
    fallbacks = chain.from_iterable(stage.fallbacks for stage in recipe.file.stages)
    classes |= {other.class_type for fallbacks in fallbacks for other in fallbacks.swap.values()}
    packs = {PINNED.nodes[each].pack for each in classes} - {"core"}
    assert set(recipe.file.packs) == packs
    assert packs <= set(PINNED.packs)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_recipe_can_ask_for_is_in_the_catalogue_of_models(name):
    known = catalogue(ModelsSettings())
    for form, graph in forms(SHELF.get(name)):
        for loader, file in loaded(graph):
            assert f"{loader.folder}/{file}" in known, form


@pytest.mark.parametrize("name", NAMES)
def test_what_must_agree_in_a_graph_agrees_in_every_form(name):
    for form, graph in forms(SHELF.get(name)):
        for key, node in graph.items():
            rule = RULES.get(node.class_type)
            assert rule is None or rule(graph, node.inputs), (form, key)


def _one_window(graph, own):
    # Seams in time flicker: ComfyUI #7116. SeedVR2's decoder goes through time by itself, and takes no such tiles.
    length = next((n.inputs["length"] for k, n in graph.items() if k == "cond"), 0)
    return own["temporal_size"] >= length


def _hands_over(graph, own):
    """The low-noise sampler goes on where the high-noise one stopped, with the same table of noise."""
    if own["add_noise"] == "enable":
        return True
    before = graph[own["latent_image"][0]].inputs
    return (
        before["end_at_step"] == own["start_at_step"] < own["steps"] == before["steps"]
        and before["return_with_leftover_noise"] == "enable"
        and (before["sampler_name"], before["scheduler"]) == (own["sampler_name"], own["scheduler"])
    )


def _wrapper_hands_over(graph, own):
    if "samples" not in own:
        return own["start_step"] == 0
    before = graph[own["samples"][0]].inputs
    return before["end_step"] == own["start_step"] < own["steps"] == before["steps"]


RULES = {
    "VAEDecodeTiled": _one_window,
    "KSamplerAdvanced": _hands_over,
    "WanVideoSampler": _wrapper_hands_over,
    "ClownsharKSampler_Beta": lambda _, own: 0 < own["steps_to_run"] < own["steps"],
    # Without a model of its own the second sampler keeps the first one's.
    "ClownsharkChainsampler_Beta": lambda _, own: own["model"][0] == "shift_low",
    # The node raises when blocks have nowhere to wait.
    "SeedVR2LoadDiTModel": lambda _, own: (
        own["blocks_to_swap"] <= 32 and own["offload_device"] == "cpu"
    ),
    "SeedVR2VideoUpscaler": lambda _, own: own["batch_size"] % 4 == 1,
    "SeedVR2TemporalChunk": lambda _, own: own["chunking_mode.frames_per_chunk"] % 4 == 1,
    "SeedVR2LoadVAEModel": lambda _, own: all(
        own[f"{way}_tile_overlap"] < own[f"{way}_tile_size"] for way in ("encode", "decode")
    ),
}


@pytest.mark.parametrize("name", [name for name in NAMES if SHELF.get(name).file.size])
def test_a_larger_card_gets_a_larger_picture_and_an_unknown_one_the_smallest(name):
    recipe = SHELF.get(name)
    sizes = [
        recipe.on(gigabytes).plan(resolve({}, recipe), image(recipe), 7)
        for gigabytes in (0, 8, 15.6, 23.6, 31.4, 79.2)
    ]
    pixels = [plan.width * plan.height for plan in sizes]
    assert pixels[0] == pixels[1] == pixels[2] == 480 * 832
    assert sorted(set(pixels)) == pixels[2:]


@pytest.mark.parametrize(
    ("name", "batches"),
    [("seedvr2-rife-upscale", [13, 33, 81, 81]), ("seedvr2-rife-native", [13, 41, 69, 121])],
)
def test_a_video_is_upscaled_in_the_batches_that_its_gpu_can_hold(name, batches):
    recipe = SHELF.get(name)
    for gigabytes, batch in zip((15.5, 23.6, 31.4, 79.2), batches, strict=True):
        plan = recipe.on(gigabytes).plan(resolve({}, recipe), image(recipe), 7)
        assert plan.effective["batch"] == batch, gigabytes
    for gigabytes in (0, 8, 11.6):
        plan = recipe.on(gigabytes).plan(resolve({}, recipe), image(recipe), 7)
        assert plan.effective["batch"] == 13, gigabytes


@pytest.mark.parametrize("seconds", [0.5, 1, 2, 3, 4, 5, 7.5])
@pytest.mark.parametrize("name", [name for name in NAMES if SHELF.get(name).file.length])
def test_seconds_become_4n_plus_1_frames_at_16_a_second(name, seconds):
    recipe = SHELF.get(name)
    plan = recipe.plan(resolve({"seconds": seconds}, recipe), image(recipe), 7)
    assert (plan.frames, plan.fps) == (int(seconds * 16) + 1, 16)


@pytest.mark.parametrize(("asked", "frames"), [(72, 73), (96, 97), (120, 121)])
@pytest.mark.parametrize("name", [name for name in NAMES if SHELF.get(name).file.length])
def test_lengths_of_other_models_are_corrected_and_told(name, asked, frames):
    recipe = SHELF.get(name)
    plan = recipe.plan(resolve({"frames": asked}, recipe), image(recipe), 7)
    assert plan.frames == frames
    assert f"{asked} frames became {frames}: the model generates 4n+1." in plan.notes
    assert any("81 that the model is trained for" in note for note in plan.notes) is (frames > 81)


@pytest.mark.parametrize("name", [name for name in NAMES if SHELF.get(name).file.length])
def test_a_longer_clip_fits_the_same_card(name):
    recipe = SHELF.get(name)
    own, longer = (
        recipe.plan(resolve({"frames": frames}, recipe), image(recipe), 7) for frames in (81, 121)
    )
    tokens = [((p.frames - 1) // 4 + 1) * p.width * p.height for p in (own, longer)]
    assert tokens[1] <= 1.05 * tokens[0]


def test_one_expert_each_and_the_lora_that_was_made_for_it():
    for name in ("wan22-i2v-lightning", "wan22-two-pass"):
        graph = SHELF.get(name).graphs["workflow.json"]
        for expert in ("high", "low"):
            lora = graph[f"lora_{expert}"].inputs
            assert f"_{expert}_noise" in lora["lora_name"]
            assert f"_{expert}_noise" in graph[lora["model"][0]].inputs["unet_name"]


def test_the_negative_prompt_acts_at_cfg_1_by_way_of_both_experts():
    graph = build(
        SHELF.get("wan22-i2v-lightning"),
        SHELF.get("wan22-i2v-lightning").stage("i2v"),
        negative="blur",
    )
    for expert in ("high", "low"):
        sampler = graph[f"ks_{expert}"].inputs
        nag = graph[sampler["model"][0]]
        assert (sampler["cfg"], nag.class_type) == (1.0, "WanVideoNAG")
        assert graph[nag.inputs["conditioning"][0]].inputs["text"] == "blur"


PASSES = ("first", "second")


def test_the_order_of_the_two_passes_is_a_parameter():
    recipe = SHELF.get("wan22-two-pass")
    stage = recipe.stage("i2v")
    assert recipe.file.tags == ("experimental",)
    orders = {
        order: [build(recipe, stage, order=order)[f"ks_{n}"].inputs["model"][0] for n in PASSES]
        for order in ("high-low", "low-high")
    }
    assert orders == {
        "high-low": ["shift_high", "shift_low"],
        "low-high": ["shift_low", "shift_high"],
    }


def test_the_official_form_is_a_preset():
    recipe = SHELF.get("wan22-i2v-hero")
    stage = recipe.stage("i2v")
    high, low = (build(recipe, stage, preset="faithful")[f"ks_{e}"].inputs for e in ("high", "low"))
    assert (high["cfg"], low["cfg"]) == (3.5, 3.5)
    assert (high["end_at_step"], low["start_at_step"], high["steps"]) == (10, 10, 20)


def test_a_pair_keeps_all_frames_and_one_picture_makes_a_loop_without_its_last():
    recipe = SHELF.get("wan22-flf")
    stage = recipe.stage("flf")
    first, last = image(recipe, "1"), image(recipe, "2")
    ticket = resolve({}, recipe)
    for end, kept in ((last, 81), (first, 80)):
        plan = recipe.plan(ticket, first, 7, end=end)
        graph = recipe.build(plan, stage, files=FILES, prefix="p")
        assert (plan.frames, plan.kept) == (81, kept)
        assert graph["cond"].inputs["length"] == 81
        assert graph["frames"].inputs["length"] == kept
        assert any("loop" in note for note in plan.notes) is (kept == 80)
    assert graph["image"].inputs["image"] == "a.png"
    assert graph["end"].inputs["image"] == "b.png"


def test_the_heros_profiles_are_those_of_the_recipe_that_upscales_alone():
    hero, own = SHELF.get("wan22-i2v-hero"), SHELF.get("seedvr2-rife-upscale")
    for gigabytes, profile in own.file.memory.items():
        assert msgspec.structs.replace(hero.file.memory[gigabytes], pixels=0) == profile


def without(recipe: Recipe, *names: str) -> dict[str, object]:
    return {key: each for key, each in recipe.file.parameters.items() if key not in names}


def test_the_native_form_of_the_hero_makes_the_same_clip_and_upscales_it_as_the_recipe_that_upscales_alone():
    hero, native = SHELF.get("wan22-i2v-hero"), SHELF.get("wan22-i2v-hero-native")
    alone = SHELF.get("seedvr2-rife-native")
    clip, own = (each.graphs["workflow-i2v-only.json"] for each in (hero, native))
    names = {"save.filename_prefix": "p", "keep.filename_prefix": "p"}
    assert put(clip, names) == put(own, names)
    for field in ("size", "length", "presets"):
        assert getattr(hero.file, field) == getattr(native.file, field)
    assert hero.file.stages[0] == native.file.stages[0]
    sized = ("resolution", "max_resolution")
    assert without(hero, *sized) == without(native, *sized)
    upscale, whole = native.graphs["workflow-upscale-only.json"], alone.graphs["workflow.json"]
    renamed = {"save" if key == "save_final" else key: node for key, node in upscale.items()}
    assert set(renamed) == set(whole)
    for key, node in whole.items():
        if key not in ("final", "save"):
            assert (renamed[key].class_type, renamed[key].inputs) == (node.class_type, node.inputs)
    assert native.file.stages[1].fallbacks == alone.file.stages[0].fallbacks
    for gigabytes, profile in alone.file.memory.items():
        assert msgspec.structs.replace(native.file.memory[gigabytes], pixels=0) == profile


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_from_which_comfyui_on_it_has_its_own_nodes(name):
    recipe = SHELF.get(name)
    classes = {node.class_type for graph in recipe.graphs.values() for node in graph.values()}
    lacking = classes - set(catalog.load("0.27.1").nodes)
    assert bool(lacking) is is_older("0.27.1", recipe.file.comfyui)
    assert not is_older(PINNED.comfyui, recipe.file.comfyui)


@pytest.mark.parametrize(
    ("size", "asked", "short"),
    [
        ((480, 832), {}, 1080),  # 1080x1872
        ((832, 480), {}, 1080),
        ((1600, 400), {}, 480),  # 1920x480
        ((1600, 400), {"max_resolution": 0}, 1080),
        ((1000, 300), {"resolution": 2160, "max_resolution": 3000}, 900),
    ],
)
def test_the_longest_edge_that_is_allowed_limits_the_short_one(size, asked, short):
    recipe = SHELF.get("seedvr2-rife-native")
    clip = msgspec.structs.replace(image(recipe), width=size[0], height=size[1])
    plan = recipe.plan(resolve(asked, recipe), clip, 7)
    graph = recipe.build(plan, recipe.file.stages[0], files=FILES, prefix="p")
    assert graph["large"].inputs["resize_type.shorter_size"] == short
    assert plan.effective["max_resolution"] == asked.get("max_resolution", 1920)


def test_the_heros_two_stages_together_are_its_combined_graph():
    graphs = SHELF.get("wan22-i2v-hero").graphs
    folder = shipped() / "wan22-i2v-hero"
    combined = decode((folder / "workflow.json").read_bytes(), "combined")
    # What only carries the clip from one job to the other is not needed in one graph.
    apart = {
        key: node
        for graph in graphs.values()
        for key, node in graph.items()
        if key not in ("keep", "load", "parts")
    }
    assert set(apart) == set(combined)
    apart = put(apart, {"upscale.image": combined["upscale"].inputs["image"]})
    for key, node in apart.items():
        assert (node.class_type, node.inputs) == (combined[key].class_type, combined[key].inputs)
