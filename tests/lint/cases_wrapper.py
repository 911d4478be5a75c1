"""W, A008, L008: WanVideoWrapper, and what compiles and extracts."""

from tests.lint.case import case
from tests.lint.graphs import HIGH, LORA_LOW, LOW, At, changed, hero, node, wrapper

PLAIN = "Wan2_2-I2V-A14B-LOW_bf16.safetensors"
FAST = "fp8_e4m3fn_scaled_fast"


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
)
