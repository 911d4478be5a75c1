"""W, A008, L008, M012: WanVideoWrapper, and what compiles and extracts."""

from tests.lint.case import case
from tests.lint.cases_files import GGUF_LOW
from tests.lint.graphs import (
    HIGH,
    LORA_LOW,
    LOW,
    T2V_HIGH,
    T2V_LOW,
    At,
    changed,
    hero,
    node,
    wrapper,
)

PLAIN = "Wan2_2-I2V-A14B-LOW_bf16.safetensors"
FAST = "fp8_e4m3fn_scaled_fast"
WINDOWS = node("WanVideoContextOptions", context_schedule="uniform_standard")


def compiled(**settings):
    """The wrapper's low expert, compiled."""
    compiler = node(
        "WanVideoTorchCompileSettings",
        backend="inductor",
        fullgraph=False,
        mode="default",
        dynamic=False,
        dynamo_cache_size_limit=64,
        compile_transformer_blocks_only=True,
    )
    graph = changed(wrapper(), compiler=compiler, unet_low__compile_args=At("compiler"))
    return changed(graph, **settings)


def with_lora(**settings):
    """The wrapper's low expert with a LoRA, and with products in fp8."""
    lora = node("WanVideoLoraSelect", lora=LORA_LOW, strength=1.0, merge_loras=True)
    graph = changed(wrapper(), lora=lora, unet_low__lora=At("lora"), unet_low__quantization=FAST)
    return changed(graph, **settings)


def with_late_lora(**settings):
    """The wrapper's low expert with a LoRA that is put on after the loading."""
    late = node("WanVideoSetLoRAs", model=At("unet_low"), lora=At("lora"))
    graph = with_lora(lora__merge_loras=False, unet_low__lora=None, late=late)
    return changed(graph, ks_low__model=At("late"), **settings)


def extracted(finetuned, original, dtype="default"):
    """The hero, with the difference of two models saved as a LoRA."""
    return {
        **hero(),
        "tuned": node("UNETLoader", unet_name=finetuned, weight_dtype=dtype),
        "plain": node("UNETLoader", unet_name=original, weight_dtype=dtype),
        "extract": node(
            "LoraExtractKJ",
            finetuned=At("tuned"),
            original=At("plain"),
            filename_prefix="loras/mine",
            rank=64,
            lora_type="standard",
            algorithm="svd_lowrank",
            lowrank_iters=7,
            output_dtype="fp16",
            bias_diff=True,
            adaptive_param=0.15,
            clamp_quantile=False,
        ),
    }


def extended(model, extra, more=None):
    """The wrapper's text-to-video experts with VACE, and with one more module if one is named."""
    extras = {"vace": node("WanVideoExtraModelSelect", extra_model=extra)}
    if more is not None:
        extras["more"] = node("WanVideoVACEModelSelect", vace_model=more)
        extras = changed(extras, vace__prev_model=At("more"))
    return changed({**wrapper(low=model), **extras}, unet_low__extra_model=At("vace"))


def texted(**settings):
    """Text-to-video experts on empty embeds."""
    empty = node("WanVideoEmptyEmbeds", width=480, height=832, num_frames=81)
    return changed(wrapper(high=T2V_HIGH, low=T2V_LOW), embeds=empty, **settings)


def scheduled(**settings):
    """The wrapper's low stage with a schedule from a node of its own."""
    schedule = node(
        "WanVideoScheduler", scheduler="unipc", steps=20, shift=8.0, start_step=5, end_step=-1
    )
    graph = changed(wrapper(), schedule=schedule, ks_low__scheduler=At("schedule:3"))
    return changed(graph, **settings)


def distilled(steps):
    """The wrapper's stages with the schedule for four steps, two of them high."""
    both = {f"{name}__scheduler": "flowmatch_distill" for name in ("ks_high", "ks_low")}
    both |= {f"{name}__steps": steps for name in ("ks_high", "ks_low")}
    return changed(wrapper(), **both, ks_high__end_step=2, ks_low__start_step=2)


def looped(**settings):
    """A sampler in MultiTalk's loop."""
    loop = node(
        "WanVideoImageToVideoMultiTalk",
        vae=At("vae"),
        start_image=At("image"),
        width=480,
        height=832,
        frame_window_size=81,
        motion_frame=25,
        force_offload=False,
        colormatch="disabled",
    )
    return changed(changed(wrapper(), loop=loop, ks_low__image_embeds=At("loop")), **settings)


CASES = (
    case(
        "L008",
        good=extracted(PLAIN, "wan2.2_i2v_low_noise_14B_fp16.safetensors"),
        bad=extracted(PLAIN, LOW),
        at="extract.original",
    ),
    case(
        "L008",
        good=extracted(PLAIN, PLAIN),
        bad=extracted(PLAIN, PLAIN, dtype="fp8_e4m3fn"),
        at="extract.finetuned",
    ),
    case(
        "M012",
        good=changed(wrapper(), unet_low__quantization="fp8_e5m2"),
        bad=changed(wrapper(low=PLAIN), unet_low__quantization="fp8_e5m2"),
        at="unet_low.quantization",
    ),
    case(
        "A008",
        good=compiled(),
        bad=compiled(compiler__fullgraph=True),
        at="compiler.fullgraph",
    ),
    case(
        "W004",
        good=compiled(),
        bad=compiled(unet_low__rms_norm_function="pytorch"),
        at="unet_low.rms_norm_function",
    ),
    case(
        "W004",
        good=changed(wrapper(), unet_low__rms_norm_function="pytorch"),
        bad=compiled(unet_low__rms_norm_function="pytorch"),
        at="unet_low.rms_norm_function",
    ),
    case(
        "W005",
        good=changed(wrapper(), unet_low__quantization=FAST),
        bad=changed(wrapper(), unet_low__quantization=FAST),
        at="unet_low.quantization",
        facts={"architecture": "sm_86"},
        good_facts={"architecture": "sm_89"},
    ),
    case(
        "W006",
        good=with_lora(),
        bad=with_lora(lora__merge_loras=False),
        at="unet_low.quantization",
    ),
    case(
        "W006",
        good=with_late_lora(unet_low__quantization="fp8_e4m3fn_scaled"),
        bad=with_late_lora(),
        at="unet_low.quantization",
    ),
    case(
        "W007",
        good=wrapper(low=PLAIN),
        bad=changed(wrapper(low=PLAIN), unet_low__quantization="fp8_e4m3fn"),
        at="unet_low.quantization",
    ),
    case(
        "W007",
        good=changed(wrapper(high=HIGH), unet_high__quantization="fp8_e4m3fn"),
        bad=changed(wrapper(high=PLAIN), unet_high__quantization="fp8_e4m3fn_fast"),
        at="unet_high.quantization",
    ),
    case(
        "W008",
        good=wrapper(),
        bad=changed(wrapper(), embeds__start_latent_strength=0.8),
        at="embeds.start_latent_strength",
    ),
    case(
        "W008",
        good=changed(wrapper(), embeds__end_latent_strength=0.8),
        bad=changed(wrapper(), embeds__end_latent_strength=0.8, embeds__end_image=At("image")),
        at="embeds.end_latent_strength",
    ),
    case(
        "W008",
        good=wrapper(),
        bad=changed(
            wrapper(),
            encoded=node("WanVideoEncode", vae=At("vae"), image=At("image"), latent_strength=0.9),
            embeds__extra_latents=At("encoded"),
        ),
        at="encoded.latent_strength",
    ),
    case(
        "W009",
        good=changed(wrapper(low=PLAIN), unet_low__quantization="fp8_e4m3fn"),
        bad=changed(wrapper(), unet_low__quantization="fp8_e4m3fn"),
        at="unet_low.quantization",
    ),
    case(
        "W010",
        good=changed(wrapper(), unet_low__quantization="fp8_e4m3fn_scaled"),
        bad=changed(wrapper(low=PLAIN), unet_low__quantization="fp8_e4m3fn_scaled"),
        at="unet_low.quantization",
    ),
    case(
        "W011",
        good=with_late_lora(unet_low__quantization="disabled"),
        bad=with_late_lora(unet_low__quantization="disabled", lora__merge_loras=True),
        at="lora.merge_loras",
    ),
    case(
        "W012",
        good=extended(T2V_LOW, "Wan2_1-VACE_module_14B_bf16.safetensors"),
        bad=extended(GGUF_LOW, "Wan2_1-VACE_module_14B_bf16.safetensors"),
        at="vace.extra_model",
    ),
    case(
        "W013",
        good=texted(),
        bad=wrapper(high=T2V_HIGH, low=T2V_LOW),
        at="embeds",
    ),
    case(
        "W014",
        good=wrapper(),
        bad=changed(wrapper(), ks_low__end_step=5),
        at="ks_low.end_step",
    ),
    case("W015", good=distilled(4), bad=distilled(8), at="ks_low.steps"),
    case(
        "W016",
        good=looped(ks_low__scheduler="multitalk"),
        bad=changed(wrapper(), ks_low__scheduler="multitalk"),
        at="ks_low.scheduler",
    ),
    case(
        "W016",
        good=changed(wrapper(), ks_low__context_options=At("windows"), windows=WINDOWS),
        bad=looped(ks_low__context_options=At("windows"), windows=WINDOWS),
        at="ks_low.context_options",
    ),
)
