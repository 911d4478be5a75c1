"""Where each rule begins to speak: the last value that is good, the first that is not, and what mends it."""

import pytest

from tests.lint.case import beside
from tests.lint.cases_host import SEVEN, cached, sage
from tests.lint.cases_prompts import SALAD, wrapper_nag
from tests.lint.cases_sampling import loop, nag, single, slow_upscale, two_passes, unjoined
from tests.lint.cases_wrapper import FAST, PLAIN, compiled, extracted, with_late_lora, with_lora
from tests.lint.edge import bad, good
from tests.lint.edges_wrapper import EDGES as WRAPPER_EDGES
from tests.lint.graphs import (
    At,
    changed,
    clownshark,
    first_and_last,
    full,
    hero,
    lightning,
    node,
    one_sampler,
    rife,
    small,
    tiled,
    upscale,
    wrapper,
)
from zoetrope.lint.fix import fixed
from zoetrope.lint.linter import lint


def speaks(rule, graph, **facts):
    rules = {finding.rule for finding in lint(graph, beside(**facts))}
    assert "X001" not in rules
    return rule in rules


def words(count):
    return hero(text="she " * count)


def split(steps, high):
    """The hero with other steps, of which the first are the high expert's."""
    both = {"ks_high__steps": steps, "ks_low__steps": steps}
    return changed(hero(), **both, ks_high__end_at_step=high, ks_low__start_at_step=high)


def dynamic(**asked):
    """The hero with a source that is resized by a dynamic choice."""
    given = {"resize_type": "scale dimensions", "resize_type.width": 64, "resize_type.height": 64}
    more = {f"resize_type.{name}": value for name, value in asked.items()}
    size = node("ResizeImageMaskNode", input=At("image"), scale_method="area", **given, **more)
    return changed({**hero(), "size": size}, cond__start_image=At("size"))


def twice_saved(first, second):
    """Two graphs side by side in one, each with a video of its own."""
    renamed = {
        f"{name}2": node(
            entry.class_type,
            **{
                k: [f"{v[0]}2", v[1]] if isinstance(v, list) else v for k, v in entry.inputs.items()
            },
        )
        for name, entry in second.items()
    }
    return {**first, **changed(renamed, save2__filename_prefix="other")}


def emotion(text, negative="mouth opening, lip movement"):
    return hero(text=text, negative=negative)


def encoded(**latent):
    """A stage past step 0 over frames that were encoded to a latent."""
    encoder = node("VAEEncode", pixels=At("image"), vae=At("vae"))
    return changed({**hero(), "encoded": encoder}, ks_low__latent_image=At("encoded"), **latent)


def tokens(across, down):
    """A clip of one frame, so that its tokens are its patches."""
    return hero(width=16 * across, height=16 * down, length=1)


def resized(graph):
    scale = node(
        "ImageScale", image=At("image"), upscale_method="area", width=1, height=1, crop="disabled"
    )
    return changed({**graph, "scale": scale}, cond__start_image=At("scale"))


def interpolated(**settings):
    """RIFE right after the decoding, without an upscale."""
    return changed(full(), rife__frames=At("decode"), **settings)


def twice():
    """Two interpolators in a row: the second one has more frames to hold."""
    return changed({**interpolated(), "more": rife("rife")}, final__images=At("more"))


def windows(batch, overlap=0):
    return changed(
        full(),
        upscale__uniform_batch_size=False,
        upscale__batch_size=batch,
        upscale__temporal_overlap=overlap,
    )


def seven(**settings):
    return changed(upscale(), dit__model=SEVEN, **settings)


def masked(graph):
    flat = node(
        "ImageCompositeMasked",
        destination=At("image"),
        source=At("image"),
        mask=At("image:1"),
        x=0,
        y=0,
        resize_source=True,
    )
    return {**graph, "flat": flat}


ALPHA = {"width": 480, "height": 832, "alpha": True}
ONE_CARD = {"memory_gb": 16}

EDGES = [
    bad("A002", sage("sageattn_qk_int8_pv_fp16_cuda", both=False)),
    good("A002", sage("disabled", both=False)),
    good("A005", changed(cached(lightning()), ks_high__steps=9)),
    bad("A005", changed(cached(lightning()), ks_high__steps=8)),
    good("A006", changed(wrapper(), unet_low__load_device="main_device"), memory_gb=48),
    bad("A006", changed(wrapper(), unet_low__load_device="main_device"), memory_gb=47),
    good("V001", changed(tiled(), decode__temporal_size=81)),
    bad("V001", changed(tiled(), decode__temporal_size=80)),
    bad("V002", changed(tiled(), cond__width=832, cond__height=480)),
    good("V002", changed(tiled(), cond__width=848, cond__height=480)),
    good("V002", changed(tiled(), cond__width=832, cond__height=496)),
    good("V002", changed(tiled(), cond__width=At("vae"), cond__height=16)),
    good("V003", changed(wrapper(), decode__tile_x=100)),
    bad("V003", changed(wrapper(), decode__enable_vae_tiling=True, decode__tile_y=128)),
    good("V003", changed(wrapper(), decode__enable_vae_tiling=True, decode__tile_y=136)),
    good("E003", changed(loop(), other=node("LoadImage", image="b.png"), embeds__end_image=At("other"))),
    bad("E003", changed(loop(), other=node("LoadImage", image="b.png"), embeds__end_image=At("other")), tags=["loop"]),
    good("E003", wrapper(), tags=["loop"]),
    good("F005", tokens(160, 150), **ONE_CARD),
    bad("F005", tokens(161, 150), **ONE_CARD),
    bad("F005", tokens(161, 150), memory_gb=12),
    good("F005", tokens(200, 185), memory_gb=24),
    bad("F005", tokens(200, 186), memory_gb=24),
    bad("F005", tokens(200, 185), memory_gb=22.7),
    good("F005", tokens(250, 240), memory_gb=32),
    bad("F005", tokens(250, 241), memory_gb=32),
    good("F005", tokens(425, 400), memory_gb=80),
    bad("F005", tokens(425, 401), memory_gb=80),
    bad("F005", tokens(425, 400), memory_gb=75),
    good("F006", hero(width=1600, height=1024), aspect="100:65"),
    bad("F006", hero(width=1600, height=1024), aspect="100:62"),
    good("F006", hero(), aspect="wide"),
    good("F006", hero(), aspect="0:9"),
    good("F007", hero(), picture={"width": 480, "height": 800}),
    bad("F007", hero(), picture={"width": 480, "height": 780}),
    good("F007", resized(hero()), picture={"width": 1000, "height": 100}),
    good("F007", hero(), picture={"width": 0, "height": 100}),
    good("F007", changed(hero(), cond__width=0), picture={"width": 1, "height": 1}),
    good("F002", changed(full(), final__fps=24.0), tags=["slow-motion"]),
    bad("F002", changed(full(), final__fps=48.0), tags=["slow-motion"]),
    good("C001", changed(lightning(), ks_low__cfg=2.0)),
    bad("C001", changed(lightning(), ks_low__cfg=2.1)),
    good("C002", changed(hero(), ks_high__cfg=2.0)),
    bad("C002", changed(hero(), ks_high__cfg=1.9)),
    bad("C004", nag(ks_low__cfg=1.1)),
    good("C008", changed(hero(), ks_high__cfg=6.0, ks_high__steps=12)),
    bad("C008", changed(hero(), ks_high__cfg=6.1, ks_high__steps=12)),
    good("C008", changed(hero(), ks_high__cfg=6.1, ks_high__steps=13)),
    good("R002", changed(upscale(), final__fps=At("parts:3"))),
    bad("R002", slow_upscale(final__fps=31.0)),
    good("R002", slow_upscale(final__fps=16.0, parts__select_every_nth=2)),
    good("R002", slow_upscale(final__fps=16.0, parts__force_rate=0)),
    good("R004", changed(upscale(), rife__clear_cache_after_n_frames=99, upscale__resolution=1078)),
    bad("R004", full(), ram_gb=3.6),
    good("R004", full(), ram_gb=3.8),
    bad("R004", interpolated(), ram_gb=0.7),
    good("R004", interpolated(), ram_gb=0.75),
    bad("R004", twice(), ram_gb=1.4),
    good("R004", twice(), ram_gb=1.5),
    good("R004", interpolated(cond__width=At("vae")), ram_gb=0.1),
    good("R004", full() | {"cond": changed(full(), cond__height=At("vae"))["cond"]}, ram_gb=0.1),
    bad("I001", first_and_last(), picture=ALPHA),
    good("I001", masked(hero()), picture=ALPHA),
    good("I001", resized(hero()), picture=ALPHA),
    good("P002", hero(text="Beat 1 (0-5.25s): she turns.")),
    bad("P002", hero(text="Beat 1 (0-5.3s): she turns.")),
    good("P003", hero(text="She turns, without any zoom.", negative="zoom")),
    bad("P003", hero(text="No people. A slow zoom.", negative="zoom")),
    bad("P003", hero(text=f"Not here, {'far away ' * 6}a zoom.", negative="zoom")),
    good("P003", hero(text="A slow zoom.", negative="blur")),
    good("P004", lightning(), tags=["faces"]),
    bad("P004", changed(lightning(), ks_high__cfg=1.5), tags=["faces"]),
    good("P004", hero(text="Her lips are closed."), tags=["faces"]),
    good("P005", words(512)),
    bad("P005", words(513)),
    bad("P006", hero(text="old film, soft light, three word phrase, dusk, fog")),
    bad("P006", hero(text="a b c, a b c, a b c, dusk, fog")),
    good("P006", hero(text="old film, soft light, dusk, fog")),
    good("P006", hero(text="a b c d, a b c d, a b c d, dusk, fog")),
    good("S010", changed(lightning(), ks_high__steps=8)),
    bad("S010", changed(lightning(), ks_high__steps=9)),
    good("S011", changed(hero(), ks_high__steps=15)),
    bad("S011", changed(hero(), ks_high__steps=14)),
    good("S011", changed(hero(), ks_high__steps=10, ks_high__sampler_name="heun")),
    bad("S011", changed(hero(), ks_high__steps=7, ks_high__sampler_name="heun")),
    good("S014", hero(shift=3.0)),
    good("S015", single(8, 1.0)),
    good("S015", single(9, 0.5)),
    good("S015", single(At("vae"), 0.5)),
    good("S015", single(8, At("vae"))),
    bad("S015", single(8, 0.99)),
    bad("S015", one_sampler(denoise=0.2)),
    good("S016", split(20, 5)),
    bad("S016", split(20, 6)),
    bad("S016", split(20, 9)),
    good("S016", split(20, 10)),
    good("S016", split(24, 6)),
    bad("S016", split(23, 6)),
    bad("S016", changed(clownshark(), ks_high__steps_to_run=3)),
    good("S016", changed(clownshark(), ks_high__steps_to_run=2)),
    good("S016", changed(lightning(), ks_high__steps=5, ks_low__steps=5)),
    good("S017", changed(unjoined(), ks_low__start_at_step=0)),
    bad("S017", unjoined(ks_low__add_noise="enable")),
    bad("S017", changed(unjoined(), ks_high=None)),
    good("S017", changed(unjoined(ks_low__add_noise="enable"), ks_high=None)),
    good("S017", unjoined(ks_low__add_noise="enable", ks_low__start_at_step=6)),
    good("S017", encoded()),
    good("S017", unjoined(noisy=node("AddNoise", model=At("shift_low"), latent_image=At("cond:2")), ks_low__latent_image=At("noisy"))),
    good("S017", two_passes(second__start_at_step=2)),
    good("S017", changed(wrapper(), ks_low__samples=None, ks_high__end_step=4)),
    good("S017", twice_saved(hero(), lightning())),
    good("S018", twice_saved(hero(), hero())),
    bad("S018", changed(twice_saved(hero(), hero()), save2=None)),
    good("S018", changed(unjoined(), decode2=node("VAEDecode", samples=At("ks_high"), vae=At("vae")), shown=node("PreviewImage", images=At("decode2")))),
    good("S018", changed(unjoined(), shown=node("Somebody", latent=At("ks_high")))),
    good("S018", changed(hero(), save=None)),
    good("C010", changed(lightning(), ks_low__sampler_name="res_multistep")),
    bad("C010", changed(lightning(), ks_low__sampler_name="res_3s")),
    good("C011", changed(hero(), ks_low__sampler_name="lcm", unet_low=node("Somebody"))),
    good("C011", changed(hero(), ks_low__sampler_name="lcms")),
    bad("C012", nag(neg__text="fog " * 26)),
    good("C012", nag(neg__text="fog " * 25)),
    good("C012", nag(neg__text="\u96fe" * 51)),
    bad("C012", nag(neg__text="\u96fe" * 52)),
    good("C012", nag(neg__text=SALAD, nag__nag_scale=0.0)),
    good("C012", changed(hero(), neg__text=SALAD)),
    good("C012", wrapper_nag("jitter", text__negative_prompt=SALAD)),
    good("L008", extracted(PLAIN, "wan2.2_i2v_low_noise_14B_Q8_0.gguf")),
    good("L008", extracted(At("vae"), PLAIN)),
    bad("L008", extracted(PLAIN, "wan2.2_i2v_low_noise_14B_fp8_e5m2.safetensors")),
    bad("A008", {**hero(), "other": node("TorchCompileVAE", vae=At("vae"), fullgraph=True)}),
    good("A008", {**hero(), "other": node("Somebody", fullgraph=True)}),
    good("P007", emotion("She smiles.", negative="talking, speaking, dialogue, blurred")),
    good("P007", emotion("A serene expression, closed lips, a calm demeanor and a peaceful countenance.")),
    good("P007", emotion("Waving enthusiastically, a cheerful gesture.")),
    good("P007", emotion("She looks up, never smiling.")),
    bad("P007", emotion("A surprised woman.", negative="facial animation")),
    bad("P007", emotion("A neutral face, then laughter.", negative="")),
    good("P007", emotion("Smiley balloons rise. A grinding wheel turns.")),
    *(bad("Z010", hero(), file=name) for name in ("a (2).json", "a(1).json", "a - Copy.json", "a - Copy (3).json", "a copy.json", "a copy 2.json", "a_COPY.json")),
    *(good("Z010", hero(), file=name) for name in ("", "a.json", "copy.json", "a2.json", "a (2024).json", "a (2) b.json", "photocopy.json", "a copyright.json", "(2x) a.json")),
    good("U005", changed(upscale(), upscale__temporal_overlap=12)),
    bad("U004", changed(upscale(), upscale__batch_size=4)),
    good("U006", windows(9, 1)),
    bad("U006", windows(9, 2)),
    bad("U006", windows(77)),
    good("U006", windows(81)),
    good("U006", windows(85)),
    good("U006", windows(9, 9)),
    good("U007", changed(upscale(), upscale__seed=2**32 - 1)),
    good("U008", changed(upscale(), dit__blocks_to_swap=32)),
    good("U008", changed(upscale(), dit__blocks_to_swap=36, dit__model="mine.safetensors")),
    good("U009", changed(upscale(), upscale__batch_size=21), **ONE_CARD),
    bad("U009", changed(upscale(), upscale__batch_size=22), **ONE_CARD),
    bad("U009", seven(), memory_gb=22.7),
    bad("U011", changed(full(), upscale__resolution=480)),
    good("U011", changed(full(), upscale__resolution=482)),
    good("U011", changed(full(), upscale__resolution=16, cond__width=At("vae"))),
    good("M008", changed(hero(), clip=node("CLIPLoaderGGUF", clip_name="umt5_scaled_Q8.gguf", type="wan"))),
    bad("M011", changed(hero(), unet_high__weight_dtype="fp8_e4m3fn", unet_low__unet_name="wan2.2_i2v_low_noise_14B_fp16.safetensors")),
    good("M011", changed(hero(), unet_low__weight_dtype="fp8_e4m3fn_fast")),
    good("Z004", changed({**hero(), "any": node("PreviewAny", source=At("vae"))})),
    good("Z004", changed(hero(), decode__unheard=At("image"))),
    bad("Z004", changed(hero(), decode__unheard=At("nobody"))),
    bad("Z004", changed({**hero(), "any": node("PreviewAny", source={"__value__": ["gone", 0]})})),
    bad("Z004", changed({**hero(), "name": node("PrimitiveString", value="cat.png")}, image__image=At("name"))),
    good("Z004", changed(hero(), image__image="cat.png")),
    good("Z002", dynamic(crop="center")),
    bad("Z002", dynamic()),
    good("Z007", changed(hero(), other=node("Somebody", filename_prefix="clip"))),
    good("Z007", changed(hero(), other=node("PrimitiveString", filename_prefix="clip"))),
    *WRAPPER_EDGES,
]  # fmt: skip


@pytest.mark.parametrize(("rule", "graph", "facts", "spoken"), EDGES)
def test_a_rule_begins_to_speak_at_its_edge(rule, graph, facts, spoken):
    assert speaks(rule, graph, **facts) is spoken


MENDED = [
    ("A001", sage("sageattn3"), "sage_high.sage_attention", "auto"),
    ("A001", changed(wrapper(), unet_low__attention_mode="sageattn_3"), "unet_low.attention_mode", "sageattn"),
    ("V001", changed(tiled(), decode__temporal_size=64), "decode.temporal_size", 84),
    ("V003", changed(wrapper(), decode__enable_vae_tiling=True, decode__tile_x=144), "decode.tile_stride_x", 72),
    ("V003", changed(wrapper(), decode__enable_vae_tiling=True, decode__tile_x=40), "decode.tile_stride_x", 32),
    ("V003", changed(wrapper(), decode__enable_vae_tiling=True, decode__tile_x=32), "decode.tile_x", 40),
    ("F004", hero(width=487), "cond.width", 480),
    ("F004", hero(width=489), "cond.width", 496),
    ("F004", hero(width=7), "cond.width", 16),
    ("C001", changed(lightning(), ks_low__cfg=7.0), "ks_low.cfg", 1.0),
    ("C002", changed(hero(), ks_high__cfg=1.0), "ks_high.cfg", 3.5),
    ("C006", changed(hero(), ks_low__sampler_name="dpmpp_sde"), "ks_low.sampler_name", "euler"),
    ("S006", changed(hero(), ks_low__end_at_step=18), "ks_low.end_at_step", 10_000),
    ("S013", changed(lightning(), shift_low__shift=9.0), "shift_low.shift", 5.0),
    ("S014", changed(lightning(), shift_low__shift=20.0), "shift_low.shift", 5.0),
    ("S014", changed(hero(), shift_low__shift=20.0), "shift_low.shift", 8.0),
    ("R004", changed(upscale(), rife__clear_cache_after_n_frames=50), "rife.clear_cache_after_n_frames", 10),
    ("U003", changed(upscale(), upscale__batch_size=10), "upscale.batch_size", 13),
    ("U003", changed(upscale(), upscale__batch_size=14), "upscale.batch_size", 17),
    ("U004", changed(upscale(), upscale__batch_size=1), "upscale.batch_size", 5),
    ("U005", changed(upscale(), upscale__temporal_overlap=16), "upscale.temporal_overlap", 4),
    ("U005", changed(upscale(), upscale__batch_size=3, upscale__temporal_overlap=3), "upscale.temporal_overlap", 2),
    ("U001", changed(upscale(), dit__device="cpu"), "dit.blocks_to_swap", 0),
    ("A008", compiled(compiler__fullgraph=True), "compiler.fullgraph", False),
    ("W004", compiled(unet_low__rms_norm_function="pytorch"), "unet_low.rms_norm_function", "default"),
    ("W006", with_lora(lora__merge_loras=False), "unet_low.quantization", "fp8_e4m3fn_scaled"),
    ("W009", changed(wrapper(), unet_low__quantization="fp8_e4m3fn"), "unet_low.quantization", "disabled"),
    ("W009", changed(wrapper(), unet_low__quantization="fp8_e4m3fn_fast"), "unet_low.quantization", FAST),
    ("W010", changed(wrapper(low=PLAIN), unet_low__quantization=FAST), "unet_low.quantization", "fp8_e4m3fn_fast"),
    ("W011", with_late_lora(lora__merge_loras=True), "lora.merge_loras", False),
    ("W003", changed(wrapper(), ks_low__denoise_strength=0.5), "ks_low.denoise_strength", 1.0),
    ("P001", hero(text="A (16 : 9) frame turns."), "pos.text", "A 16 : 9 frame turns."),
    ("Z005", changed(upscale(), upscale__resolution=1081), "upscale.resolution", 1080),
    ("Z007", changed(full(), save_final__filename_prefix="clip"), "save_final.filename_prefix", "clip-save_final"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "graph", "place", "value"), MENDED)
def test_what_mends_a_value_is_this(rule, graph, place, value):
    name, _, key = place.partition(".")
    assert fixed(graph, beside(), {rule}).graph[name].inputs[key] == value


def test_a_16_gb_card_gets_the_windows_that_fit_it():
    graph = changed(upscale(), upscale__batch_size=33)
    assert fixed(graph, beside(**ONE_CARD), {"U009"}).graph["upscale"].inputs["batch_size"] == 13


@pytest.mark.parametrize(("shift", "severity"), [(8.0, "info"), (6.0, "warn"), (12.0, "warn")])
def test_another_shift_for_the_lora_is_worse_than_the_usual_one(shift, severity):
    found = lint(changed(lightning(), shift_low__shift=shift), beside())
    assert [f.severity for f in found if f.rule == "S013"] == [severity]


@pytest.mark.parametrize(
    ("file", "severity"), [(PLAIN, "error"), (PLAIN.replace("bf16", "fp8_e4m3fn"), "warn")]
)
def test_a_file_in_fp8_may_have_scales_that_its_name_is_silent_of(file, severity):
    graph = changed(wrapper(low=file), unet_low__quantization="fp8_e4m3fn_scaled")
    assert [f.severity for f in lint(graph, beside()) if f.rule == "W010"] == [severity]


@pytest.mark.parametrize(
    "graph", [changed(clownshark(), ks_low__sampler_name="exponential/dpmpp_sde_2s")]
)
def test_a_sampler_of_another_pack_is_told_of_but_not_replaced(graph):
    finding = next(f for f in lint(graph, beside()) if f.rule == "C006")
    assert finding.changes == ()


def test_a_link_that_is_missing_cannot_be_invented():
    finding = next(
        f for f in lint(changed(small(), decode__vae=None), beside()) if f.rule == "Z002"
    )
    assert (finding.input, finding.changes) == ("vae", ())


def test_a_stage_of_the_wrapper_that_runs_to_the_end_cannot_be_followed_at_a_step():
    finding = next(
        f for f in lint(changed(wrapper(), ks_high__end_step=-1), beside()) if f.rule == "S002"
    )
    assert finding.changes == ()
