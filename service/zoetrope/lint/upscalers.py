"""SeedVR2 in a graph: the upscaler with its model and its VAE."""

from __future__ import annotations

import msgspec

from .filenames import Tag, tag
from .graph_view import GraphView
from .pictures import Trail, trace


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


def find(view: GraphView) -> dict[str, Upscaler]:
    """Read every SeedVR2VideoUpscaler, each by its node."""
    return {node_id: _read(view, node_id) for node_id in view.of("SeedVR2VideoUpscaler")}


def _read(view: GraphView, node_id: str) -> Upscaler:
    dit = _loader(view, node_id, "dit", "SeedVR2LoadDiTModel")
    return Upscaler(
        node=node_id,
        dit=dit,
        vae=_loader(view, node_id, "vae", "SeedVR2LoadVAEModel"),
        model=tag((view.text(dit, "model") or "") if dit else ""),
        resolution=view.whole(node_id, "resolution"),
        batch=view.whole(node_id, "batch_size"),
        overlap=view.whole(node_id, "temporal_overlap"),
        uniform=view.flag(node_id, "uniform_batch_size"),
        trail=trace(view, node_id, "image"),
    )


def _loader(view: GraphView, node_id: str, name: str, class_type: str) -> str | None:
    link = view.source(node_id, name)
    return link.node if link and view.class_of(link.node) == class_type else None
