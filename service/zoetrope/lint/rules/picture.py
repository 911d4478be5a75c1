"""I: the picture that goes in."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Hit
from ..registry import rule
from ..subject import Subject

_MASK = 1


@rule(
    "I001",
    "warn",
    title="transparent picture, not flattened",
    why="LoadImage drops the alpha channel, and the colors behind transparent areas become"
    " visible.",
    fix="Flatten the picture on white first.",
    source="ComfyUI nodes.py: LoadImage; host guide",
)
def alpha_dropped(subject: Subject) -> Iterator[Hit]:
    """Find pictures with alpha whose mask no one uses to flatten them."""
    picture = subject.context.picture
    if picture is None or not picture.alpha:
        return
    masked = {
        link.node
        for node_id in subject.nodes
        for _, link in subject.read.links(node_id)
        if link.slot == _MASK
    }
    pictures = {
        source.node
        for canvas in subject.canvases
        for name in ("start_image", "end_image")
        if (source := subject.read.source(canvas, name)) is not None
    }
    for node_id in subject.read.of("LoadImage"):
        if node_id in pictures and node_id not in masked:
            yield Hit(node=node_id, input="image", found="a picture with alpha is loaded unchanged")
