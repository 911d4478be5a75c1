"""Where the rules of WanVideoWrapper begin to speak."""

from tests.lint.cases_files import GGUF_LOW, gguf, managed
from tests.lint.cases_wrapper import (
    FAST,
    PLAIN,
    compiled,
    distilled,
    extended,
    looped,
    scheduled,
    with_late_lora,
    with_lora,
)
from tests.lint.edge import bad, good
from tests.lint.graphs import LORA_LOW, T2V_HIGH, T2V_LOW, At, changed, node, wrapper

PLAIN_FP8 = "Wan2_2-I2V-A14B-LOW_fp8_e4m3fn.safetensors"


def low(kind, file=None):
    """The wrapper's low expert, to be quantised while it is loaded."""
    return changed(wrapper(low=file) if file else wrapper(), unet_low__quantization=kind)


def late(merged, more, *, strength=1.0, again=None):
    """A LoRA that is put on after the loading, before which comes one more with merging of its own."""
    first = node("WanVideoLoraSelect", lora=LORA_LOW, strength=1.0, merge_loras=more)
    settings = {
        "lora__merge_loras": merged,
        "lora__strength": strength,
        "lora__prev_lora": At("more"),
    }
    return with_late_lora(more=again or first, **settings)


def several(**settings):
    """WanVideoLoraSelectMulti before WanVideoSetLoRAs."""
    return with_late_lora(lora=node("WanVideoLoraSelectMulti", merge_loras=True, **settings))


EDGES = [
    good("W004", compiled(unet_low__rms_norm_function="default")),
    bad("W005", changed(wrapper(), unet_low__quantization="fp8_e5m2_fast"), architecture="sm_80"),
    good("W005", changed(wrapper(), unet_low__quantization="fp8_e4m3fn_scaled"), architecture="sm_80"),
    good("W005", changed(wrapper(), unet_low__quantization=FAST), architecture="sm_120"),
    good("W006", with_lora(more=node("WanVideoLoraSelect", lora="a.safetensors", strength=1.0, merge_loras=True), lora__prev_lora=At("more"), lora__merge_loras=False)),
    good("W006", with_lora(more=node("WanVideoLoraSelectByName", lora_name="a", strength=1.0), lora__prev_lora=At("more"), lora__merge_loras=False)),
    good("W006", with_lora(lora__merge_loras=At("vae"))),
    good("W006", with_lora(more=node("Somebody"), lora__prev_lora=At("more"), lora__merge_loras=False)),
    good("W006", with_lora(lora__merge_loras=False, unet_low__quantization="fp8_e4m3fn_scaled")),
    good("W006", with_lora(unet_low__lora=None)),
    bad("W007", changed(wrapper(low="a_fp32.safetensors"), unet_low__quantization="fp8_e5m2")),
    good("W007", changed(wrapper(low=PLAIN), unet_low__quantization="fp8_e4m3fn_scaled")),
    good("W007", changed(wrapper(low="a.safetensors"), unet_low__quantization="fp8_e4m3fn")),
    bad("W008", changed(wrapper(), embeds__start_latent_strength=1.1)),
    good("W008", changed(wrapper(), embeds__start_latent_strength=1)),
    good("W008", changed(wrapper(), embeds__start_latent_strength=0.5, embeds__start_image=None)),
    good("W003", changed(wrapper(), ks_high__denoise_strength=0.5)),
    good("M012", changed(wrapper(), unet_low__quantization="fp8_e4m3fn_scaled")),
    good("M012", changed(wrapper(), unet_low__quantization="fp8_e5m2_scaled")),
    good("M012", low("fp8_e4m3fn")),
    good("M012", low("fp8_e4m3fn_fast")),
    good("M012", low("fp8_e5m2")),
    bad("M012", low("fp8_e5m2", PLAIN_FP8)),
    bad("M012", low("fp8_e5m2", "a.safetensors")),
    bad("A007", gguf(lora=node("WanVideoLoraSelectMulti", lora_1=LORA_LOW))),
    good("A007", gguf(lora=node("WanVideoLoraSelectMulti"))),
    good("A007", gguf(lora__merge_loras=True, lora__strength=0.0)),
    good("A007", gguf(lora__merge_loras=True, lora__strength=At("vae"))),
    bad("A007", gguf(more=node("WanVideoLoraSelect", lora=LORA_LOW, strength=1.0), lora__prev_lora=At("more"))),
    bad("A007", managed()),
    good("A007", managed(unet_low__model=PLAIN)),
    bad("W009", low("fp8_e4m3fn")),
    bad("W009", low("fp8_e5m2_fast")),
    good("W009", low("disabled")),
    good("W009", low("fp8_e4m3fn_scaled")),
    good("W009", low("fp8_e4m3fn", PLAIN)),
    good("W009", low("fp8_e4m3fn", "a_scaled_Q8_0.gguf")),
    bad("W010", low("fp8_e5m2_scaled", "a_fp16.safetensors")),
    bad("W010", low("fp8_e4m3fn_scaled_fast", "a_fp32.safetensors")),
    bad("W010", low("fp8_e4m3fn_scaled", PLAIN_FP8)),
    good("W010", low("fp8_e4m3fn_scaled")),
    good("W010", low("fp8_e4m3fn_scaled", "a.safetensors")),
    good("W010", low("fp8_e4m3fn_scaled", GGUF_LOW)),
    good("W010", low("fp8_e4m3fn", PLAIN)),
    good("W010", low("fp8_e4m3fn_scaled", At("vae"))),
    bad("W011", late(True, False)),
    good("W011", late(False, True)),
    bad("W011", late(False, True, strength=0.0)),
    bad("W011", late(False, True, strength=0.00004)),
    good("W011", late(False, True, strength=0.00006)),
    good("W011", late(True, True, strength=At("vae"))),
    good("W011", late(False, True, strength=At("vae"))),
    good("W011", late(True, True, strength=0.0, again=node("Somebody"))),
    good("W011", with_late_lora(lora__merge_loras=True, lora__lora=At("vae"))),
    good("W011", with_late_lora(lora__merge_loras=True, late__lora=None)),
    good("W011", with_late_lora(lora__merge_loras=At("vae"))),
    bad("W011", with_late_lora(lora__merge_loras=None)),
    bad("W011", several(lora_3=LORA_LOW)),
    good("W011", several()),
    good("W011", several(lora_3=LORA_LOW, strength_3=0.0)),
    good("W011", several(lora_0=At("vae"), lora_3=LORA_LOW, strength_3=0.0)),
    good("W011", with_lora()),
    good("W012", extended(GGUF_LOW, "vace_Q8_0.gguf")),
    bad("W012", extended(T2V_LOW, "vace_Q8_0.gguf")),
    good("W012", extended(GGUF_LOW, At("vae"))),
    good("W012", extended(At("vae"), "vace_Q8_0.gguf")),
    good("W012", extended(GGUF_LOW, "a.gguf", more="b.gguf")),
    bad("W012", extended(GGUF_LOW, "a.gguf", more="b.safetensors")),
    good("W013", wrapper(low="a_t2v.safetensors")),
    good("W013", changed(wrapper(low=T2V_LOW), ks_low__image_embeds=At("vae"))),
    good("W013", changed(wrapper(high=T2V_HIGH), ks_high__model=At("vae"))),
    good("W014", changed(wrapper(), ks_low__end_step=6)),
    bad("W014", changed(wrapper(), ks_low__end_step=5)),
    bad("W014", changed(wrapper(), ks_low__end_step=0)),
    good("W014", changed(wrapper(), ks_low__end_step=-1)),
    good("W014", changed(wrapper(), ks_low__end_step=5, ks_low__start_step=At("vae"))),
    good("W014", changed(wrapper(), ks_low__end_step=5, ks_low__denoise_strength=0.5)),
    good("W014", changed(wrapper(), ks_low__end_step=5, ks_low__denoise_strength=At("vae"))),
    good("W014", scheduled(ks_low__end_step=5)),
    bad("W014", scheduled(schedule__end_step=5)),
    bad("W014", scheduled(schedule=node("WanVideoSchedulerv2", end_step=0))),
    good("W015", distilled(4)),
    bad("W015", distilled(3)),
    bad("W015", distilled(5)),
    good("W015", distilled(At("vae"))),
    good("W015", scheduled(ks_low__steps=8, schedule__steps=4, schedule__scheduler="flowmatch_distill")),
    bad("W015", scheduled(ks_low__steps=4, schedule__steps=8, schedule__scheduler="flowmatch_distill")),
    good("W015", scheduled(schedule__scheduler="flowmatch_causvid")),
    good("W016", looped(ks_low__scheduler="multitalk")),
    bad("W016", looped(ks_low__scheduler="multitalk", ks_low__image_embeds=At("embeds"))),
    good("W016", looped(ks_low__scheduler="multitalk", ks_low__image_embeds=At("vae"))),
    bad("W016", scheduled(schedule__scheduler="multitalk")),
    good("W016", scheduled()),
]  # fmt: skip
