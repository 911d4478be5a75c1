"""E: first and last frames."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Hit, Put
from ..registry import rule
from ..subject import Subject

_ENDS = ("start_image", "end_image")


@rule(
    "E001",
    "error",
    title="first or last frame missing",
    why="The recipe goes from one picture to another; with one alone the node generates"
    " something else.",
    fix="Connect start_image and end_image.",
    source="host guide: first and last frame are both required",
)
def missing_end(subject: Subject) -> Iterator[Hit]:
    """Find WanFirstLastFrameToVideo without both pictures, in recipes that promise both."""
    if "flf" in subject.context.recipe.tags:
        for node_id in subject.read.of("WanFirstLastFrameToVideo"):
            for name in _ENDS:
                if not subject.read.linked(node_id, name):
                    yield Hit(node=node_id, input=name, found=f"{name} is not linked")


@rule(
    "E002",
    "info",
    title="first and last frame are the same picture",
    why="A clip that ends as it begins hardly moves, and its last frame repeats the first.",
    fix="Describe exactly what moves, and drop the last frame for a seamless loop.",
    source="hero document; Wan-Video/Wan2.1 #372",
)
def same_ends(subject: Subject) -> Iterator[Hit]:
    """Find first and last frames that come from the same source."""
    for node_id in subject.read.of("WanFirstLastFrameToVideo", "WanFunInpaintToVideo"):
        if _same_source(subject, node_id):
            yield Hit(node=node_id, input="end_image", found="the same picture as start_image")


@rule(
    "E003",
    "warn",
    title="last frame of a loop encoded separately",
    why="Without fun_or_fl2v_model the last picture is not the last frame of one encoded clip, and the"
    " loop jumps.",
    fix="Set fun_or_fl2v_model.",
    source="community notes on loops",
)
def loop_encoded_apart(subject: Subject) -> Iterator[Hit]:
    """Find the wrapper's encoder with a last frame and the switch off, where a loop is meant."""
    for node_id in subject.read.of("WanVideoImageToVideoEncode"):
        if subject.read.flag(node_id, "fun_or_fl2v_model") is not False:
            continue
        loop = "loop" in subject.context.recipe.tags or _same_source(subject, node_id)
        if loop and subject.read.linked(node_id, "end_image"):
            put = (Put(node_id, "fun_or_fl2v_model", True),)
            found = "fun_or_fl2v_model = false, with an end_image"
            yield Hit(node=node_id, input="fun_or_fl2v_model", found=found, changes=put)


def _same_source(subject: Subject, node_id: str) -> bool:
    first, last = (subject.read.source(node_id, name) for name in _ENDS)
    if first is None or last is None:
        return False
    if first == last:
        return True
    classes = {subject.read.class_of(link.node) for link in (first, last)}
    files = {subject.read.text(link.node, "image") for link in (first, last)}
    return classes == {"LoadImage"} and len(files) == 1 and None not in files
