"""Where pictures come from, and what happens to them on the way: size, number, rate."""

from __future__ import annotations

import msgspec

from ..graphs.document import Link
from .classes import (
    CANVASES,
    DECODERS,
    INTERPOLATORS,
    SAME_COUNT,
    SAME_SIZE,
    VIDEO_LOADERS,
    VIDEO_MAKERS,
)
from .graph_view import GraphView
from .stages import KINDS

#: No interpolation makes more of a frame than this.
_MOST_TIMES = 1000
#: What a node calls its pictures; some take masks as well.
_PICTURES = frozenset({"IMAGE", "COMFY_MATCHTYPE_V3"})
#: Longer ways are not followed.
_LONGEST = 100


class Canvas(msgspec.Struct, frozen=True, kw_only=True):
    """A node that decides how large and how long a clip becomes."""

    node: str
    length_input: str
    width: int | None
    height: int | None
    length: int | None

    @property
    def frames(self) -> int | None:
        """How many frames really come out: four a latent, and the first."""
        return None if self.length is None else (self.length - 1) // 4 * 4 + 1

    @property
    def tokens(self) -> float | None:
        """How much attention has to look at, for 14B weights."""
        if self.width is None or self.height is None or self.length is None:
            return None
        return ((self.length - 1) // 4 + 1) * (self.width / 16) * (self.height / 16)


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """The way of pictures back from an input: nodes from there to the last that is understood."""

    nodes: tuple[str, ...]
    decoder: str | None = None
    loader: str | None = None
    sampler: str | None = None
    multiplier: int | None = 1  # of the frame rate; None if an interpolator's is not known
    same_size: bool = True
    same_count: bool = True


class Playback(msgspec.Struct, frozen=True, kw_only=True):
    """A node that gives frames a rate."""

    node: str
    input: str
    fps: int | float | None
    trail: Trail


def canvases(view: GraphView) -> dict[str, Canvas]:
    """Read every node that decides size and length."""
    return {
        node_id: Canvas(
            node=node_id,
            length_input=CANVASES[view.class_of(node_id)],
            width=view.whole(node_id, "width"),
            height=view.whole(node_id, "height"),
            length=view.whole(node_id, CANVASES[view.class_of(node_id)]),
        )
        for node_id in view.of(*CANVASES)
    }


def playbacks(view: GraphView) -> tuple[Playback, ...]:
    """Read every node that gives frames a rate."""
    return tuple(
        Playback(
            node=node_id,
            input=VIDEO_MAKERS[view.class_of(node_id)],
            fps=view.number(node_id, VIDEO_MAKERS[view.class_of(node_id)]),
            trail=trace(view, node_id, "images"),
        )
        for node_id in view.of(*VIDEO_MAKERS)
    )


def trace(view: GraphView, node_id: str, name: str) -> Trail:
    """Follow pictures back from an input to the sampler, the decoder or the file they come from."""
    nodes: list[str] = []
    multiplier: int | None = 1
    same_size = same_count = True
    link = view.source(node_id, name)
    end: dict[str, str | None] = {}
    while link is not None and link.node not in nodes and len(nodes) < _LONGEST:
        nodes.append(link.node)
        class_type = view.class_of(link.node)
        if class_type in DECODERS:
            end = {"decoder": link.node, "sampler": sampler_of(view, link.node)}
            break
        if class_type in VIDEO_LOADERS:
            end = {"loader": link.node}
            break
        if class_type in INTERPOLATORS:
            times = view.whole(link.node, "multiplier")
            multiplier = None if times is None or multiplier is None else multiplier * times
            if multiplier is not None and multiplier > _MOST_TIMES:
                multiplier = None
        if view.catalog.get(class_type) is None:
            multiplier = None
        same_size &= class_type in SAME_SIZE
        same_count &= class_type in SAME_COUNT | INTERPOLATORS or "SeedVR2" in class_type
        link = _before(view, link)
    return Trail(
        nodes=tuple(nodes),
        multiplier=multiplier,
        same_size=same_size,
        same_count=same_count,
        **end,
    )


def _before(view: GraphView, link: Link) -> Link | None:
    """Step to the first pictures that a node is given."""
    # What SeedVR2 made gets the size and number of what it was made of, beyond its own sampler.
    if view.class_of(link.node) == "SeedVR2PostProcessing":
        return view.source(link.node, "original_resized_images")
    signature = view.catalog.get(view.class_of(link.node))
    names = (
        [name for name, item in signature.inputs.items() if item.type in _PICTURES]
        if signature
        else ["images", "image", "frames"]
    )
    return next((found for name in names if (found := view.source(link.node, name))), None)


def sampler_of(view: GraphView, decoder: str) -> str | None:
    """Find the sampler whose latent a decoder decodes, through nodes that only pass it on."""
    link = view.source(decoder, "samples")
    seen: set[str] = set()
    while link is not None and link.node not in seen and len(seen) < _LONGEST:
        if view.class_of(link.node) in KINDS:
            return link.node
        seen.add(link.node)
        signature = view.catalog.get(view.class_of(link.node))
        inputs = signature.inputs.items() if signature else ()
        names = [name for name, item in inputs if item.type == "LATENT"]
        link = view.source(link.node, names[0]) if len(names) == 1 else None
    return None
