"""SeedVR2 in a graph: the upscaler with its model and its VAE."""

from __future__ import annotations

import msgspec

from .filenames import Tag, tag
from .pictures import Trail, trace
from .reading import Reading


class Upscaler(msgspec.Struct, frozen=True, kw_only=True):
    """One SeedVR2VideoUpscaler, and the nodes that load what it works with."""

    node: str
    dit: str | None
    vae: str | None
    model: Tag
    resolution: int | None
    batch: int | None
    overlap: int | None
    uniform: bool | None
    trail: Trail


def find(reading: Reading) -> dict[str, Upscaler]:
    """Read every SeedVR2VideoUpscaler, each by its node."""
    return {node_id: _read(reading, node_id) for node_id in reading.of("SeedVR2VideoUpscaler")}


def _read(reading: Reading, node_id: str) -> Upscaler:
    dit = _loader(reading, node_id, "dit", "SeedVR2LoadDiTModel")
    return Upscaler(
        node=node_id,
        dit=dit,
        vae=_loader(reading, node_id, "vae", "SeedVR2LoadVAEModel"),
        model=tag((reading.text(dit, "model") or "") if dit else ""),
        resolution=reading.whole(node_id, "resolution"),
        batch=reading.whole(node_id, "batch_size"),
        overlap=reading.whole(node_id, "temporal_overlap"),
        uniform=reading.flag(node_id, "uniform_batch_size"),
        trail=trace(reading, node_id, "image"),
    )


def _loader(reading: Reading, node_id: str, name: str, class_type: str) -> str | None:
    link = reading.source(node_id, name)
    return link.node if link and reading.class_of(link.node) == class_type else None
