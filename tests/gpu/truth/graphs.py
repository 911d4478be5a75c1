"""The graphs that are measured: the shipped recipes' own files, and the official template as facts describe it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
PICTURE = "truth.png"
Graph = dict[str, dict[str, Any]]


class Size(NamedTuple):
    """Of a clip: pixels and frames."""

    width: int
    height: int
    frames: int


def recipe(name: str, file: str, size: Size, seed: int, **values: Any) -> Graph:
    """Give a shipped graph at a size; `values` are inputs by the names that its nodes call them."""
    graph: Graph = json.loads((ROOT / "workflows" / name / file).read_text())
    graph = {key: node for key, node in graph.items() if not key.startswith("_") and key != "keep"}
    graph["cond"]["inputs"] |= {"width": size.width, "height": size.height, "length": size.frames}
    graph["image"]["inputs"]["image"] = PICTURE
    for sampler in ("ks_high", "ks_low"):
        graph[sampler]["inputs"]["noise_seed"] = seed if sampler == "ks_high" else 0
    split = values.pop("split", None)
    if split is not None:
        graph["ks_high"]["inputs"]["end_at_step"] = graph["ks_low"]["inputs"]["start_at_step"] = (
            split
        )
    for sampler in ("ks_high", "ks_low"):
        graph[sampler]["inputs"] |= {k: v for k, v in values.items() if not k.startswith("cfg_")}
        which = "cfg_" + sampler.removeprefix("ks_")
        if which in values:
            graph[sampler]["inputs"]["cfg"] = values[which]
    return graph


def hero(size: Size, seed: int, **values: Any) -> Graph:
    """Give the first stage of the hero recipe, without the lossless copy for the next stage."""
    return recipe("wan22-i2v-hero", "workflow-i2v-only.json", size, seed, **values)


def lightning(size: Size, seed: int, **values: Any) -> Graph:
    """Give the four-step recipe, whole."""
    return recipe("wan22-i2v-lightning", "workflow.json", size, seed, **values)


def official(size: Size, seed: int, steps: int, split: int, words: Graph) -> Graph:
    """Give the official template without LoRAs (video_wan2_2_14B_i2v): one prompt for both, CFG 3.5 on both experts."""

    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    def sampler(model: str, latent: list[Any], **inputs: Any) -> dict[str, Any]:
        return node(
            "KSamplerAdvanced",
            model=[model, 0],
            positive=["50", 0],
            negative=["50", 1],
            latent_image=latent,
            steps=steps,
            cfg=3.5,
            sampler_name="euler",
            scheduler="simple",
            **inputs,
        )

    expert = "wan2.2_i2v_{}_noise_14B_fp8_scaled.safetensors"
    return {
        "37": node("UNETLoader", unet_name=expert.format("high"), weight_dtype="default"),
        "56": node("UNETLoader", unet_name=expert.format("low"), weight_dtype="default"),
        "54": node("ModelSamplingSD3", model=["37", 0], shift=8.0),
        "55": node("ModelSamplingSD3", model=["56", 0], shift=8.0),
        "38": node(
            "CLIPLoader",
            clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors",
            type="wan",
            device="default",
        ),
        "6": node("CLIPTextEncode", clip=["38", 0], text=words["pos"]["inputs"]["text"]),
        "7": node("CLIPTextEncode", clip=["38", 0], text=words["neg"]["inputs"]["text"]),
        "39": node("VAELoader", vae_name="wan_2.1_vae.safetensors"),
        "52": node("LoadImage", image=PICTURE),
        "50": node(
            "WanImageToVideo",
            positive=["6", 0],
            negative=["7", 0],
            vae=["39", 0],
            start_image=["52", 0],
            width=size.width,
            height=size.height,
            length=size.frames,
            batch_size=1,
        ),
        "57": sampler(
            "54",
            ["50", 2],
            add_noise="enable",
            noise_seed=seed,
            start_at_step=0,
            end_at_step=split,
            return_with_leftover_noise="enable",
        ),
        "58": sampler(
            "55",
            ["57", 0],
            add_noise="disable",
            noise_seed=0,
            start_at_step=split,
            end_at_step=10000,
            return_with_leftover_noise="disable",
        ),
        "8": node("VAEDecode", samples=["58", 0], vae=["39", 0]),
        "60": node("CreateVideo", images=["8", 0], fps=16.0),
        "61": node(
            "SaveVideo", video=["60", 0], filename_prefix="official", format="mp4", codec="h264"
        ),
    }


def upscaler(clip: str, short_edge: int, seed: int) -> Graph:
    """Give SeedVR2 as ComfyUI has it by itself: 3B in fp16, one step, tiled."""

    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    tiles = {"tile_size": 512, "overlap": 128, "temporal_size": 64, "temporal_overlap": 8}
    return {
        "load": node("LoadVideo", file=clip),
        "parts": node("GetVideoComponents", video=["load", 0]),
        "large": node(
            "ImageScale",
            image=["parts", 0],
            upscale_method="lanczos",
            width=short_edge,
            height=0,
            crop="disabled",
        ),
        "dit": node("UNETLoader", unet_name="seedvr2_3b_fp16.safetensors", weight_dtype="default"),
        "vae": node("VAELoader", vae_name="seedvr2_ema_vae_fp16.safetensors"),
        "prepared": node("SeedVR2Preprocess", resized_images=["large", 0]),
        "latent": node("VAEEncodeTiled", pixels=["prepared", 0], vae=["vae", 0], **tiles),
        "chunks": node(
            "SeedVR2TemporalChunk", latent=["latent", 0], temporal_overlap=0, chunking_mode="auto"
        ),
        "cond": node("SeedVR2Conditioning", model=["dit", 0], vae_conditioning=["chunks", 0]),
        "sample": node(
            "KSampler",
            model=["dit", 0],
            positive=["cond", 0],
            negative=["cond", 1],
            latent_image=["chunks", 0],
            seed=seed,
            steps=1,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "whole": node(
            "SeedVR2TemporalMerge", latents=["sample", 0], temporal_overlap=["chunks", 1]
        ),
        "decode": node("VAEDecodeTiled", samples=["whole", 0], vae=["vae", 0], **tiles),
        "coloured": node(
            "SeedVR2PostProcessing",
            images=["decode", 0],
            original_resized_images=["large", 0],
            color_correction_method="lab",
        ),
        "video": node("CreateVideo", images=["coloured", 0], fps=16.0),
        "save": node(
            "SaveVideo", video=["video", 0], filename_prefix="seedvr2", format="mp4", codec="h264"
        ),
    }
