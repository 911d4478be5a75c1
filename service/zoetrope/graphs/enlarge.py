"""How large an upscaled video becomes, as far as its graph says: what cannot become larger is known before a GPU works."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..domain.values import Scalar
from ..errors import Rejected
from .graph import Graph
from .recipe_file import Enlarge, Parameter

UPSCALER = "SeedVR2VideoUpscaler"
# Words in the names of classes that change a size as well: with one of them nothing is certain.
RESIZING = ("scale", "resize", "crop", "pad")


class Enlarger(msgspec.Struct, frozen=True, kw_only=True):
    """What decides a video's size: its short edge and the longest edge that is allowed, and the parameters that set them."""

    short: int
    longest: int  # 0 is no limit
    short_set_by: tuple[str, ...] = ()
    longest_set_by: tuple[str, ...] = ()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Give the size that a clip gets: of even numbers, and never rounded up."""
        factor = self.short / min(width, height)
        if self.longest:
            factor = min(factor, self.longest / max(width, height))
        return int(width * factor / 2) * 2, int(height * factor / 2) * 2

    def short_edge(self, width: int, height: int) -> int:
        """Give the short edge with which the longest one keeps its limit: of an even number of pixels."""
        if not self.longest or not width or not height:
            return self.short
        limited = self.longest * min(width, height) // max(width, height)
        return min(self.short, max(2, limited // 2 * 2))


def declared(enlarge: Enlarge, values: Mapping[str, Scalar]) -> Enlarger:
    """Give what a stage says of its video's size, with the values of all parameters."""
    return Enlarger(
        short=int(values[enlarge.short]),
        longest=int(values[enlarge.longest]),
        short_set_by=(enlarge.short,),
        longest_set_by=(enlarge.longest,),
    )


def find(graph: Graph, parameters: Mapping[str, Parameter]) -> Enlarger | None:
    """Find the one node that decides the size of a graph's video; None where that is not certain."""
    found = [name for name, node in graph.items() if node.class_type == UPSCALER]
    others = (node.class_type.lower() for node in graph.values() if node.class_type != UPSCALER)
    if len(found) != 1 or any(word in name for name in others for word in RESIZING):
        return None
    inputs = graph[found[0]].inputs
    short, longest = inputs.get("resolution"), inputs.get("max_resolution", 0)
    if not isinstance(short, int) or not isinstance(longest, int):
        return None

    def setting(key: str) -> tuple[str, ...]:
        return tuple(name for name, each in parameters.items() if f"{found[0]}.{key}" in each.to)

    return Enlarger(
        short=short,
        longest=longest,
        short_set_by=setting("resolution"),
        longest_set_by=setting("max_resolution"),
    )


def check(
    found: Enlarger | None,
    size: tuple[int, int],
    parameters: Mapping[str, Parameter],
    *,
    sized: bool,
) -> None:
    """Reject a clip of this size whose video could not become larger; `sized` is whether a ticket may say the size."""
    if found is None or not all(size):
        return
    made = found.size(*size)
    if all(after > before for after, before in zip(made, size, strict=True)):
        return
    short, longest = min(size), max(size)
    limited = found.longest and found.longest * short < found.short * longest
    # Both edges have to grow by an even number of pixels at least.
    needed = max(longest + 2, -(-(short + 2) * longest // short)) if limited else short + 2
    needed += needed % 2
    names = found.longest_set_by if limited else found.short_set_by
    ways = [
        f"{name} to {needed} or more"
        for name in names
        if (limit := parameters[name].max) is None or needed <= limit
    ]
    ways += ["width and height to smaller values"] if sized else []
    raise Rejected(
        f"The clip has {size[0]}x{size[1]} pixels, and the video made of it would have"
        f" {made[0]}x{made[1]}: no larger, so its check would fail.",
        f"In the ticket, set {', or '.join(ways)}." if ways else "Use a smaller video.",
        key="video-size",
    )
