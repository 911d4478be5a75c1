"""The shipped recipes pass, and whoever bends a guarded value of the hero's hears of it from the right rule."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lint.case import beside
from zoetrope.graphs.document import decode
from zoetrope.graphs.graph import put, swap
from zoetrope.graphs.shelf import load
from zoetrope.lint.linter import lint
from zoetrope.models.manifest import catalogue
from zoetrope.settings import ModelsSettings

ROOT = Path(__file__).parents[2] / "workflows"
GRAPHS = sorted(ROOT.rglob("*.json"))
RECIPES = sorted(path.parent for path in ROOT.rglob("recipe.toml"))
HERO = decode((ROOT / "wan22-i2v-hero" / "workflow.json").read_bytes(), "hero")
#: The hero hands over early on purpose.
MEANT = {"S009"}


def rules_of(graph, **facts):
    return {finding.rule for finding in lint(graph, beside(**facts))}


@pytest.mark.parametrize("path", GRAPHS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_shipped_graph_is_without_error_or_warning(path):
    pinned = frozenset(
        key for key, model in catalogue(ModelsSettings()).items() if model.bytes and model.sha256
    )
    found = lint(decode(path.read_bytes(), str(path)), beside(pinned=pinned))
    assert [f for f in found if f.severity in {"error", "warn"}] == []


@pytest.mark.parametrize("folder", RECIPES, ids=lambda p: p.name)
def test_what_a_recipe_does_to_need_less_memory_brings_no_error(folder):
    recipe = load(folder)
    for stage in recipe.file.stages:
        graph = recipe.graphs[stage.graph]
        for fallbacks in stage.fallbacks:
            for name, other in fallbacks.swap.items():
                graph = swap(graph, name, other.class_type, other.inputs)
            graph = put(graph, fallbacks.set)
            assert [f for f in lint(graph, beside()) if f.severity == "error"] == []


#: What a preset brings to be told of beside what its recipe is told of, wherever that is anything.
TOLD = {
    ("wan22-i2v-clownshark", "equal-budget"): {"S016"},
    ("wan22-i2v-lightning", "clean"): {"C012"},
    ("wan22-i2v-lightning", "official-negative"): {"C012"},
    ("wan22-i2v-lightning", "lcm"): {"S013"},
    ("wan22-flf", "faithful"): {"S007"},
    ("wan22-i2v-gguf", "faithful"): {"S007"},
    ("wan22-i2v-hero", "faithful"): {"S007"},
    ("wan22-i2v-hero-native", "faithful"): {"S007"},
    ("wan22-i2v-wrapper", "faithful"): {"S007"},
}


@pytest.mark.parametrize("folder", RECIPES, ids=lambda p: p.name)
def test_what_presets_are_told_of_is_known(folder):
    recipe = load(folder)
    told = {}
    for name, preset in recipe.file.presets.items():
        for stage in recipe.file.stages:
            graph = recipe.graphs[stage.graph]
            places = {
                place: value
                for key, value in preset.values.items()
                if key in recipe.file.parameters
                for place in recipe.file.parameters[key].to
                if place.partition(".")[0] in graph
            }
            told.setdefault((folder.name, name), set()).update(
                rules_of(put(graph, places)) - rules_of(graph)
            )
    known = {key: rules for key, rules in TOLD.items() if key[0] == folder.name}
    assert {key: rules for key, rules in told.items() if rules} == known


def test_the_hero_has_nothing_else_to_be_told():
    assert rules_of(HERO) == MEANT


def bent(place, values, rule):
    return pytest.param(place, values, rule, id=f"{rule}-{place}")


whole = st.integers
real = st.floats

GUARDED = [
    bent("ks_low.start_at_step", whole(0, 20).filter(lambda n: n != 5), "S002"),
    bent("ks_high.end_at_step", whole(0, 19).filter(lambda n: n != 5), "S002"),
    bent("ks_low.steps", whole(1, 100).filter(lambda n: n != 20), "S003"),
    bent("ks_high.steps", whole(1, 100).filter(lambda n: n != 20), "S003"),
    bent("ks_high.steps", whole(1, 14), "S011"),
    bent("ks_high.steps", whole(6, 10), "S007"),
    bent("ks_high.steps", whole(34, 100), "S008"),
    bent("ks_high.steps", whole(11, 19), "S016"),
    bent("ks_low.latent_image", st.just(["cond", 2]), "S017"),
    bent("ks_low.latent_image", st.just(["cond", 2]), "S018"),
    bent("ks_high.return_with_leftover_noise", st.just("disable"), "S004"),
    bent("ks_low.add_noise", st.just("enable"), "S005"),
    bent("ks_low.return_with_leftover_noise", st.just("enable"), "S006"),
    bent("ks_low.end_at_step", whole(6, 19), "S006"),
    bent("shift_low.shift", real(3.0, 12.0).filter(lambda x: x != 8), "S012"),
    bent("shift_high.shift", real(0.01, 2.99), "S014"),
    bent("shift_low.shift", real(12.01, 100.0), "S014"),
    bent("ks_high.cfg", real(0.0, 1.99), "C002"),
    bent("ks_high.cfg", st.just(1.0), "C003"),
    bent("ks_low.scheduler", st.sampled_from(["karras", "exponential", "kl_optimal"]), "C005"),
    bent("ks_low.sampler_name", st.sampled_from(["dpmpp_2m_sde", "euler_ancestral"]), "C006"),
    bent("ks_low.sampler_name", st.just("lcm"), "C011"),
    bent("ks_high.sampler_name", st.sampled_from(["res_2s", "res_3s", "res_2s_ode"]), "C007"),
    bent("cond.length", whole(1, 400).filter(lambda n: n % 4 != 1), "F001"),
    bent("cond.length", whole(82, 4000), "F003"),
    bent("cond.width", whole(17, 4096).filter(lambda n: n % 16), "F004"),
    bent("cond.height", whole(17, 4096).filter(lambda n: n % 16), "Z005"),
    bent("cond.batch_size", whole(2, 64), "F008"),
    bent("video.fps", whole(1, 120).filter(lambda n: n != 16).map(float), "F002"),
    bent("final.fps", whole(1, 120).filter(lambda n: n != 32).map(float), "F002"),
    bent("final.fps", whole(1, 31).map(float), "R002"),
    bent("unet_low.weight_dtype", st.sampled_from(["fp8_e4m3fn", "fp8_e5m2"]), "M012"),
    bent("unet_low.unet_name", st.just(HERO["unet_high"].inputs["unet_name"]), "M001"),
    bent("vae.vae_name", st.just("wan2.2_vae.safetensors"), "M002"),
    bent("clip.type", st.sampled_from(["sd3", "flux2", "qwen_image"]), "M006"),
    bent("dit.offload_device", st.sampled_from(["none", "cuda:0"]), "U001"),
    bent("dit.blocks_to_swap", whole(33, 36), "U008"),
    bent("upscale.batch_size", whole(1, 200).filter(lambda n: n % 4 != 1), "U003"),
    bent("upscale.batch_size", whole(1, 4), "U004"),
    bent("upscale.temporal_overlap", whole(13, 16), "U005"),
    bent("upscale.uniform_batch_size", st.just(False), "U006"),
    bent("upscale.seed", whole(2**32, 2**64), "U007"),
    bent("upscale.resolution", whole(16, 480), "U011"),
    bent("rife.clear_cache_after_n_frames", whole(21, 1000), "R004"),
    bent("save.filename_prefix", st.just("wan22-i2v-hero-final"), "Z007"),
    bent("image.image", st.sampled_from(["/etc/passwd", "../x.png", "a/../../x", "~/x"]), "Z008"),
    bent("pos.text", st.just(" "), "P005"),
    bent("pos.text", whole(6, 60).map(lambda s: f"Beat 1 (0-{s}s): she turns."), "P002"),
    bent("pos.text", st.sampled_from(["She turns; slow dolly.", "The camera pans left."]), "P003"),
]


@pytest.mark.parametrize(("place", "values", "rule"), GUARDED)
def test_a_guarded_value_that_is_bent_is_heard_of(place, values, rule):
    @settings(max_examples=25, deadline=None)
    @given(values)
    def heard_of(value):
        assert rule in rules_of(put(HERO, {place: value}))

    heard_of()


@settings(max_examples=100, deadline=None)
@given(
    split=whole(4, 5),
    length=whole(1, 20).map(lambda n: 4 * n + 1),
    width=whole(16, 60).map(lambda n: 16 * n),
    shift=real(5.0, 8.0),
    cfg=real(2.0, 6.0),
    seed=whole(0, 2**32 - 1),
    batch=whole(3, 20).map(lambda n: 4 * n + 1),
    resolution=whole(500, 700).map(lambda n: 2 * n),
)
def test_values_inside_the_guards_are_no_news(
    split, length, width, shift, cfg, seed, batch, resolution
):
    graph = put(
        HERO,
        {
            "ks_high.end_at_step": split,
            "ks_low.start_at_step": split,
            "cond.length": length,
            "cond.width": width,
            "shift_high.shift": shift,
            "shift_low.shift": shift,
            "ks_high.cfg": cfg,
            "upscale.seed": seed,
            "upscale.batch_size": batch,
            "upscale.resolution": resolution,
            "pos.text": "She turns her head.",
        },
    )
    assert rules_of(graph) <= MEANT
