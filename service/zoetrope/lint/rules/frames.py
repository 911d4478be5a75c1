"""F: how many frames of what size, and how fast they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...graphs.memory import class_of
from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject
from .interpolate import LARGE_FPS, SLOW_MOTION, is_large, other_rate

_TRAINED = 81
#: Tokens that fit, by the GPU's memory in GB.
BUDGETS = {16: 24_000, 24: 37_000, 32: 60_000, 80: 170_000}  # by class of GPU memory
_LABEL = re.compile(r"^\s*(\d{1,5})\s*[:x/]\s*(\d{1,5})\s*$")


@rule(
    "F001",
    "error",
    title="length that the model cannot generate",
    why="Latents hold the first frame and then four frames each; any other length is cut"
    " silently, and the clip is shorter than requested.",
    fix="Use 4n + 1 frames.",
    source="ComfyUI nodes_wan.py: (length - 1) // 4 + 1",
)
def not_4n_plus_1(subject: Subject) -> Iterator[Hit]:
    """Find lengths that are not one more than a multiple of four."""
    for canvas in subject.canvases.values():
        if canvas.length is not None and canvas.length % 4 != 1:
            near = max(1, round((canvas.length - 1) / 4) * 4 + 1)
            name = canvas.length_input
            yield Hit(
                node=canvas.node,
                input=name,
                found=f"{name} = {quote(canvas.length)} becomes {quote(canvas.frames)} frames",
                fix=f"Use {quote(near)}.",
                changes=(Put(canvas.node, name, near),),
            )


@rule(
    "F002",
    "warn",
    title="wrong playback speed",
    why="14B weights generate 16 frames per second; at 24 all motion is 1.5 times as fast.",
    fix="Use 16 frames per second, times the factor of the interpolation.",
    source="Wan-Video/Wan2.2 configuration: sample_fps 16",
)
def wrong_speed(subject: Subject) -> Iterator[Hit]:
    """Find clips of 14B weights that are not shown at 16 frames a second times their interpolation."""
    for playback in subject.playbacks:
        times = playback.trail.multiplier
        if times is None or playback.fps is None or not is_large(subject, playback):
            continue
        wanted = LARGE_FPS * times
        meant = playback.fps < wanted and SLOW_MOTION in subject.context.recipe.tags
        if playback.fps != wanted and not meant:
            yield other_rate(playback, wanted)


@rule(
    "F003",
    "warn",
    title="longer than the trained length",
    why="Beyond 81 frames colors drift, motion loops, and memory grows with every frame.",
    fix="Generate 81 frames at most, or the clip in chunks.",
    source="Wan-Video/Wan2.1 #369",
)
def too_long(subject: Subject) -> Iterator[Hit]:
    """Find clips of 14B weights with more than 81 frames."""
    for canvas in subject.large_canvases:
        if canvas.length is not None and canvas.length > _TRAINED:
            found = f"{canvas.length_input} = {quote(canvas.length)}"
            yield Hit(node=canvas.node, input=canvas.length_input, found=found)


@rule(
    "F004",
    "error",
    title="size off the model's grid",
    why="Latents are an eighth of the picture and are processed in patches of two: other sizes"
    " fail or are cropped.",
    fix="Use multiples of 16.",
    source="ComfyUI nodes_wan.py",
)
def off_patch_grid(subject: Subject) -> Iterator[Hit]:
    """Find widths and heights that are not multiples of 16."""
    for canvas in subject.canvases.values():
        for name, edge in (("width", canvas.width), ("height", canvas.height)):
            if edge is not None and edge % 16:
                near = max(16, (edge + 8) // 16 * 16)
                yield Hit(
                    node=canvas.node,
                    input=name,
                    found=f"{name} = {quote(edge)}",
                    fix=f"Use {quote(near)}.",
                    changes=(Put(canvas.node, name, near),),
                )


@rule(
    "F005",
    "warn",
    title="too large for the GPU's memory",
    why="Attention covers every token of the clip at once; this many end in out-of-memory or in"
    " slow offloading.",
    fix="Make the clip smaller or shorter.",
    source="host guide: tested sizes; measured on a 16 GB GPU",
)
def beyond_memory(subject: Subject) -> Iterator[Hit]:
    """Find clips of 14B weights with more tokens than the GPU's memory is good for."""
    memory = subject.host.memory_gb
    if memory is None:
        return
    budget = BUDGETS[class_of(memory, BUDGETS)]
    for canvas in subject.large_canvases:
        if canvas.tokens is not None and canvas.tokens > budget:
            found = f"{canvas.tokens:.4g} tokens, where {budget} are known to fit {memory:g} GB"
            yield Hit(node=canvas.node, found=found)


@rule(
    "F006",
    "warn",
    title="wrong aspect ratio label",
    why="832x1216 is 13:19, not 9:16: a video of that label gets bars or is cropped.",
    fix="Use the true ratio, or a size that has the ratio of the label.",
    source="arithmetic; official sizes are 480x832 and 720x1280",
)
def wrong_label(subject: Subject) -> Iterator[Hit]:
    """Find sizes that are more than two per cent off the recipe's aspect."""
    label = _LABEL.match(subject.context.recipe.aspect)
    if label is None or not int(label[1]) or not int(label[2]):
        return
    named = int(label[1]) / int(label[2])
    for canvas in subject.canvases.values():
        if canvas.width and canvas.height and abs(canvas.width / canvas.height / named - 1) > 0.02:
            found = f"{quote(canvas.width)}x{quote(canvas.height)} is called {label[0].strip()}"
            yield Hit(node=canvas.node, input="width", found=found)


@rule(
    "F007",
    "info",
    title="picture will be cropped",
    why="The node scales the picture to fill the frame and crops the edges.",
    fix="Choose a size with the aspect ratio of the picture.",
    source="ComfyUI nodes_wan.py: center crop; host guide",
)
def cropped_picture(subject: Subject) -> Iterator[Hit]:
    """Find pictures that go in as they are, and are of another shape than the clip."""
    picture = subject.context.picture
    if picture is None or picture.width < 1 or picture.height < 1:
        return
    for canvas in subject.canvases.values():
        if not canvas.width or not canvas.height or canvas.width < 1 or canvas.height < 1:
            continue
        source = subject.read.source(canvas.node, "start_image")
        if source is None or subject.read.class_of(source.node) != "LoadImage":
            continue
        ratio = (canvas.width / canvas.height) / (picture.width / picture.height)
        if abs(ratio - 1) > 0.05:
            found = (
                f"a picture of {picture.width}x{picture.height}"
                f" in {quote(canvas.width)}x{quote(canvas.height)}"
            )
            yield Hit(node=canvas.node, input="start_image", found=found)


@rule(
    "F008",
    "warn",
    title="several clips at once",
    why="Memory grows with the batch; clips generated one after the other take the same time.",
    fix="Use a batch of 1, and queue the graph again for more.",
    source="two-pass notes",
)
def batch_of_clips(subject: Subject) -> Iterator[Hit]:
    """Find canvases that make more than one clip."""
    for canvas in subject.canvases.values():
        if "batch_size" not in subject.nodes[canvas.node].inputs:
            continue
        batch = subject.read.whole(canvas.node, "batch_size")
        if batch is not None and batch > 1:
            put = (Put(canvas.node, "batch_size", 1),)
            found = f"batch_size = {quote(batch)}"
            yield Hit(node=canvas.node, input="batch_size", found=found, changes=put)
