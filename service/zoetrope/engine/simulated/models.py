"""The model files that a well-equipped host would have, by folder; the simulated engine needs only names."""

from collections.abc import Mapping
from typing import Final

ModelNames = Mapping[str, tuple[str, ...]]

_WAN_GGUF = ("Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0")

_DIFFUSION: Final = (
    "seedvr2_3b_fp16.safetensors",
    "seedvr2_3b_int8_convrot.safetensors",
    "wan2.2_i2v_high_noise_14B_fp16.safetensors",
    "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors",
    "wan2.2_i2v_low_noise_14B_fp16.safetensors",
    "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors",
    "wan2.2_ti2v_5B_fp16.safetensors",
)

_GGUF: Final = tuple(
    f"Wan2.2-I2V-A14B-{expert}-{quant}.gguf"
    for expert in ("HighNoise", "LowNoise")
    for quant in _WAN_GGUF
)

#: The folders of a host without node packs, all but the one of the packs: no one can say what lies in that.
FOLDERS: Final = (
    *(
        "audio_encoders",
        "background_removal",
        "checkpoints",
        "classifiers",
        "clip_vision",
        "configs",
    ),
    *("controlnet", "detection", "diffusers", "diffusion_models", "embeddings"),
    *("frame_interpolation", "geometry_estimation", "gligen", "hypernetworks"),
    *("latent_upscale_models", "loras", "model_patches", "optical_flow", "photomaker"),
    *("style_models", "text_encoders", "upscale_models", "vae", "vae_approx"),
)

DEFAULT_MODELS: Final[ModelNames] = {
    "diffusion_models": _DIFFUSION,
    "unet_gguf": _GGUF,
    "loras": (
        "Wan_2_2_I2V_A14B_HIGH_lightx2v_4step_lora_260412_rank_64_fp16.safetensors",
        "Wan_2_2_I2V_A14B_LOW_lightx2v_4step_lora_260412_rank_64_fp16.safetensors",
        "wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors",
        "wan2.2_i2v_lightx2v_4steps_lora_v1_low_noise.safetensors",
    ),
    "text_encoders": (
        "umt5_xxl_fp16.safetensors",
        "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    ),
    "clip_gguf": ("umt5-xxl-encoder-Q8_0.gguf", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"),
    "clip_vision": ("clip_vision_h.safetensors",),
    "vae": (
        "seedvr2_ema_vae_fp16.safetensors",
        "wan2.2_vae.safetensors",
        "wan_2.1_vae.safetensors",
    ),
    "frame_interpolation": (
        "film_net_fp16.safetensors",
        "rife_v4.25.safetensors",
        "rife_v4.26.safetensors",
    ),
}


def extended(more: Mapping[str, tuple[str, ...]]) -> ModelNames:
    """Return the default names with more of them added, folder by folder."""
    folders = dict(DEFAULT_MODELS)
    for folder, names in more.items():
        folders[folder] = tuple(dict.fromkeys((*folders.get(folder, ()), *names)))
    return folders
