"""The nodes that load a model's file: which input names it, and in which folder it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from .graph import Graph


class Loader(msgspec.Struct, frozen=True):
    """One class of nodes; `listings` are where an engine tells of files that it does not check itself."""

    input: str
    folder: str
    listings: tuple[str, ...] = ()


# SeedVR2's and RIFE's lists of models are fixed in their packs: a file that is missing passes
# ComfyUI's validation and fails after the whole generation. RIFE's lie next to its code, or, where that
# is read-only, among the models.
LOADERS: Mapping[str, Loader] = {
    "UNETLoader": Loader("unet_name", "diffusion_models"),
    "UnetLoaderGGUF": Loader("unet_name", "diffusion_models"),
    "CLIPLoader": Loader("clip_name", "text_encoders"),
    "CLIPLoaderGGUF": Loader("clip_name", "text_encoders"),
    "CLIPVisionLoader": Loader("clip_name", "clip_vision"),
    "VAELoader": Loader("vae_name", "vae"),
    "LoraLoader": Loader("lora_name", "loras"),
    "LoraLoaderModelOnly": Loader("lora_name", "loras"),
    "SeedVR2LoadDiTModel": Loader("model", "SEEDVR2", ("seedvr2",)),
    "SeedVR2LoadVAEModel": Loader("model", "SEEDVR2", ("seedvr2",)),
    "FrameInterpolationModelLoader": Loader("model_name", "frame_interpolation"),
    "RIFE VFI": Loader("ckpt_name", "rife", ("rife", "custom_nodes")),
    "WanVideoModelLoader": Loader("model", "diffusion_models"),
    "WanVideoVAELoader": Loader("model_name", "vae"),
    "LoadWanVideoT5TextEncoder": Loader("model_name", "text_encoders"),
    "WanVideoLoraSelect": Loader("lora", "loras"),
}


def loaded(graph: Graph) -> Iterator[tuple[Loader, str]]:
    """List every model file that a graph names, with the loader that names it."""
    for node in graph.values():
        loader = LOADERS.get(node.class_type)
        if loader is not None and isinstance(name := node.inputs.get(loader.input), str) and name:
            yield loader, name
