"""W: WanVideoWrapper's own traps, and VACE."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Hit, Put, quote
from ..registry import rule
from ..subject import Subject


@rule(
    "W001",
    "warn",
    title="VACE on image-to-video weights",
    why="VACE is an addition to text-to-video weights; on image-to-video weights it ruins the picture.",
    fix="Load text-to-video weights with VACE, or take VACE away.",
    source="community notes on VACE",
)
def vace_on_i2v(subject: Subject) -> Iterator[Hit]:
    """Find VACE's conditioning before samplers with i2v weights."""
    for stage in subject.wan_stages:
        if stage.chain.tag.task == "i2v":
            for node_id in subject.near(stage, "WanVaceToVideo", "WanVideoVACEEncode"):
                yield Hit(node=node_id, found=f"it feeds {quote(stage.chain.tag.name)}")


@rule(
    "W002",
    "error",
    title="empty embeds for image-to-video weights",
    why="WanVideoEmptyEmbeds has 16 channels and no picture; image-to-video weights want 36.",
    fix="Use WanVideoImageToVideoEncode.",
    source="community notes; kijai/ComfyUI-WanVideoWrapper #1341",
)
def empty_embeds(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's empty embeds before samplers with i2v weights."""
    for stage in subject.wan_stages:
        if stage.runtime == "wrapper" and stage.chain.tag.task == "i2v":
            link = subject.read.source(stage.node, "image_embeds")
            if link is not None and subject.read.class_of(link.node) == "WanVideoEmptyEmbeds":
                yield Hit(node=link.node, found=f"it feeds {quote(stage.chain.tag.name)}")


@rule(
    "W003",
    "error",
    title="denoise and start_step together",
    why="The wrapper's denoise is only another way to say start_step; with both it raises.",
    fix="Set start_step, and leave denoise_strength at 1.",
    source="community notes; WanVideoWrapper sampler",
)
def two_starts(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's sampler with a denoise below 1 and a start step."""
    for stage in subject.stages.values():
        if stage.runtime != "wrapper" or stage.denoise is None or not stage.start:
            continue
        if stage.denoise < 1 and stage.start > 0:
            put = (Put(stage.node, "denoise_strength", 1.0),)
            found = f"denoise_strength = {quote(stage.denoise)}, start_step = {stage.start}"
            yield Hit(node=stage.node, input="denoise_strength", found=found, changes=put)
