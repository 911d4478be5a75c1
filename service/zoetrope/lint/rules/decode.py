"""V: how latents become frames."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Change, Hit, Put, SwapNode, quote
from ..pictures import Canvas, Trail, sampler_of
from ..registry import rule
from ..subject import Subject

_SMALL = 832 * 480


def _canvas(subject: Subject, decoder: str) -> Canvas | None:
    return subject.canvas_of(Trail(nodes=(), sampler=sampler_of(subject.read, decoder)))


@rule(
    "V001",
    "warn",
    title="temporal tile shorter than the clip",
    why="With a temporal tile shorter than the clip the video flickers at every seam.",
    fix="Make temporal_size longer than the clip, or use VAEDecode.",
    source="Comfy-Org/ComfyUI #7116",
)
def seams_in_time(subject: Subject) -> Iterator[Hit]:
    """Find tiled decoding whose tiles in time are shorter than the clip."""
    for node_id in subject.read.of("VAEDecodeTiled"):
        canvas = _canvas(subject, node_id)
        size = subject.read.whole(node_id, "temporal_size")
        if canvas is None or canvas.length is None or size is None or size >= canvas.length:
            continue
        better = canvas.length // 4 * 4 + 4
        put = (Put(node_id, "temporal_size", better),)
        found = f"temporal_size = {quote(size)} for {quote(canvas.length)} frames"
        yield Hit(node=node_id, input="temporal_size", found=found, changes=put)


@rule(
    "V002",
    "info",
    title="unnecessary tiles",
    why="WAN's VAE decodes a clip of this size in one piece; tiles only add seams.",
    fix="Use VAEDecode.",
    source="Comfy-Org/ComfyUI #7116; kijai/ComfyUI-WanVideoWrapper #210",
)
def needless_tiles(subject: Subject) -> Iterator[Hit]:
    """Find tiled decoding of clips of at most 832x480."""
    for node_id in subject.read.of("VAEDecodeTiled"):
        canvas = _canvas(subject, node_id)
        if canvas is None or not canvas.width or not canvas.height:
            continue
        if canvas.width * canvas.height <= _SMALL:
            inputs = subject.nodes[node_id].inputs
            kept = {name: inputs[name] for name in inputs if name in {"samples", "vae"}}
            yield Hit(
                node=node_id,
                found=f"tiles for {quote(canvas.width)}x{quote(canvas.height)}",
                changes=(SwapNode(node_id, "VAEDecode", kept),),
            )


@rule(
    "V003",
    "error",
    title="tiles that leave gaps",
    why="The stride is longer than the tile: what is between two tiles is never decoded.",
    fix="Make the stride shorter than the tile.",
    source="kijai/ComfyUI-WanVideoWrapper PR #353",
)
def gaps_between_tiles(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's tiles that are no longer than their stride."""
    for node_id in subject.read.of("WanVideoDecode"):
        if not subject.read.flag(node_id, "enable_vae_tiling"):
            continue
        for axis in ("x", "y"):
            tile = subject.read.whole(node_id, f"tile_{axis}")
            stride = subject.read.whole(node_id, f"tile_stride_{axis}")
            if tile is None or stride is None or tile > stride:
                continue
            half = tile // 2 // 8 * 8
            changes: tuple[Change, ...] = (Put(node_id, f"tile_stride_{axis}", max(32, half)),)
            found = f"tile_{axis} = {quote(tile)}, tile_stride_{axis} = {quote(stride)}"
            # The shortest stride is longer than the smallest of tiles.
            changes += (Put(node_id, f"tile_{axis}", 40),) if tile <= 32 else ()
            yield Hit(node=node_id, input=f"tile_{axis}", found=found, changes=changes)
