"""U, first half: what SeedVR2 makes of a clip."""

from __future__ import annotations

from collections.abc import Iterator

from ..classes import OLD_SEEDVR2
from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject
from ..upscalers import Upscaler

_FEWEST = 5
_LARGEST_SEED = 2**32 - 1


@rule(
    "U003",
    "warn",
    title="batch size off SeedVR2's grid",
    why="Batches are padded to 4n + 1 frames, and the padding takes time for nothing.",
    fix="Use a batch size of 5, 9, 13 and so on.",
    source="numz/ComfyUI-SeedVR2_VideoUpscaler README",
)
def padded_window(subject: Subject) -> Iterator[Hit]:
    """Find batch sizes that are not one more than a multiple of four."""
    for upscaler in subject.upscalers.values():
        if upscaler.batch is not None and upscaler.batch % 4 != 1:
            yield _batch(upscaler, (upscaler.batch + 2) // 4 * 4 + 1)


@rule(
    "U004",
    "warn",
    title="batch too small for temporal consistency",
    why="With fewer than five frames in a batch the upscaler has no temporal context: the video"
    " flickers.",
    fix="Use batches of 13 frames, or as many as fit into GPU memory.",
    source="numz/ComfyUI-SeedVR2_VideoUpscaler README",
)
def tiny_window(subject: Subject) -> Iterator[Hit]:
    """Find batch sizes below five."""
    for upscaler in subject.upscalers.values():
        if upscaler.batch is not None and upscaler.batch < _FEWEST:
            yield _batch(upscaler, _FEWEST)


def _batch(upscaler: Upscaler, better: int) -> Hit:
    return Hit(
        node=upscaler.node,
        input="batch_size",
        found=f"batch_size = {quote(upscaler.batch)}",
        changes=(Put(upscaler.node, "batch_size", max(_FEWEST, better)),),
    )


@rule(
    "U005",
    "warn",
    title="overlap as long as the batch",
    why="The node sets such an overlap to 0, and the seams between batches are visible.",
    fix="Set an overlap smaller than the batch.",
    source="SeedVR2 generation_phases.py",
)
def overlap_too_long(subject: Subject) -> Iterator[Hit]:
    """Find overlaps that are not shorter than the window."""
    for upscaler in subject.upscalers.values():
        if upscaler.batch is None or not upscaler.overlap or upscaler.overlap < upscaler.batch:
            continue
        put = (Put(upscaler.node, "temporal_overlap", max(0, min(4, upscaler.batch - 1))),)
        found = f"temporal_overlap = {quote(upscaler.overlap)} of {quote(upscaler.batch)} frames"
        yield Hit(node=upscaler.node, input="temporal_overlap", found=found, changes=put)


@rule(
    "U006",
    "info",
    title="short last batch",
    why="The remaining frames are a batch of their own, too short to match the rest.",
    fix="Set uniform_batch_size.",
    source="numz/ComfyUI-SeedVR2_VideoUpscaler README, #217",
)
def short_last_window(subject: Subject) -> Iterator[Hit]:
    """Find clips that whole windows do not cover, where windows need not be uniform."""
    for upscaler in subject.upscalers.values():
        canvas = subject.canvas_of(upscaler.trail)
        if upscaler.uniform is not False or not upscaler.batch or canvas is None:
            continue
        if canvas.frames is None or not upscaler.trail.same_count:
            continue
        frames = (canvas.frames - 1) * (upscaler.trail.multiplier or 1) + 1
        stride = upscaler.batch - (upscaler.overlap or 0)
        if stride > 0 and frames > upscaler.batch and (frames - upscaler.batch) % stride:
            put = (Put(upscaler.node, "uniform_batch_size", True),)
            found = f"{quote(frames)} frames in batches of {upscaler.batch}"
            yield Hit(node=upscaler.node, input="uniform_batch_size", found=found, changes=put)


@rule(
    "U007",
    "error",
    title="seed too large for SeedVR2",
    why="Its seeds end at 4294967295, WAN's do not; the server rejects the graph.",
    fix="Use the seed modulo 2^32.",
    source="SeedVR2 video_upscaler.py",
)
def seed_too_large(subject: Subject) -> Iterator[Hit]:
    """Find SeedVR2 seeds of more than 32 bits."""
    for upscaler in subject.upscalers.values():
        seed = subject.read.value(upscaler.node, "seed")
        if isinstance(seed, int) and seed > _LARGEST_SEED:
            put = (Put(upscaler.node, "seed", seed % (_LARGEST_SEED + 1)),)
            yield Hit(node=upscaler.node, input="seed", found=f"seed = {quote(seed)}", changes=put)


@rule(
    "U011",
    "warn",
    title="upscale that enlarges nothing",
    why="The requested short edge is not longer than the existing one.",
    fix="Set a larger resolution.",
    source="SeedVR2VideoUpscaler: resolution is the short edge",
)
def no_upscale(subject: Subject) -> Iterator[Hit]:
    """Find upscalers whose resolution is at most the short edge of their input."""
    for upscaler in subject.upscalers.values():
        edge = _short_edge(subject, upscaler)
        if edge is not None and upscaler.resolution is not None and upscaler.resolution <= edge:
            found = f"resolution = {quote(upscaler.resolution)} for a short edge of {quote(edge)}"
            yield Hit(node=upscaler.node, input="resolution", found=found)


def _short_edge(subject: Subject, upscaler: Upscaler) -> int | None:
    trail = upscaler.trail
    if not trail.same_size:
        return None
    picture = subject.context.picture
    if trail.loader is not None:
        return min(picture.width, picture.height) if picture else None
    canvas = subject.canvas_of(trail)
    if canvas is None or canvas.width is None or canvas.height is None:
        return None
    return min(canvas.width, canvas.height)


@rule(
    "U012",
    "warn",
    title="nodes of SeedVR2 before version 2.5",
    why="Version 2.5 split the one node into four; the old one and its inputs do not exist any"
    " more.",
    fix="Use SeedVR2LoadDiTModel, SeedVR2LoadVAEModel and SeedVR2VideoUpscaler.",
    source="numz/ComfyUI-SeedVR2_VideoUpscaler README: breaking change in 2.5",
)
def old_upscaler(subject: Subject) -> Iterator[Hit]:
    """Find the single node of old SeedVR2."""
    for node_id in subject.read.of(*sorted(OLD_SEEDVR2)):
        yield Hit(node=node_id, found=f"class {quote(subject.read.class_of(node_id))}")


@rule(
    "U013",
    "error",
    title="batch that ComfyUI's own SeedVR2 rejects",
    why="SeedVR2TemporalChunk fails on a number of frames that is not 4n + 1, after the clip was encoded.",
    fix="Use 5, 9, 13 and so on, or the mode auto.",
    source="ComfyUI nodes_seedvr.py",
)
def rejected_batch(subject: Subject) -> Iterator[Hit]:
    """Find batches of ComfyUI's own SeedVR2 that are not one more than a multiple of four."""
    name = "chunking_mode.frames_per_chunk"
    for node_id in subject.read.of("SeedVR2TemporalChunk"):
        batch = subject.read.whole(node_id, name)
        if subject.read.text(node_id, "chunking_mode") != "manual" or batch is None:
            continue
        if batch % 4 != 1:
            put = (Put(node_id, name, max(_FEWEST, (batch + 2) // 4 * 4 + 1)),)
            yield Hit(node=node_id, input=name, found=f"{name} = {quote(batch)}", changes=put)
