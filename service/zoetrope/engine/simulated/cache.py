"""What a node made is kept by what it was made from, so an unchanged node does not run again."""

import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ...graphs.document import link_of
from ...graphs.graph import Graph, Inputs

CacheMode = Literal["ram", "classic", "none"]

#: What the results of earlier prompts may hold before the oldest go.
DEFAULT_BUDGET = 1 << 30


class Made(msgspec.Struct, frozen=True):
    """The outputs of a node that ran, and what it told the page."""

    values: tuple[object, ...]
    ui: dict[str, Any] | None
    meta: dict[str, Any] | None


def signatures(
    graph: Graph,
    changed: Callable[[str, Inputs], str],
    unique: Callable[[str], bool],
) -> dict[str, str]:
    """Name every node by its class, its values and all that is above it.

    `changed` adds what a class watches next to its inputs (a file's content); `unique` says
    which classes are also told their own id, so that two of them never share a result.
    """
    names: dict[str, str] = {}
    open_nodes: set[str] = set()

    def name(node_id: str) -> str:
        if node_id in names:
            return names[node_id]
        node = graph.get(node_id)
        if node is None or node_id in open_nodes:
            return f"?{node_id}"
        open_nodes.add(node_id)
        class_type, inputs = node.class_type, node.inputs
        parts: list[Any] = [class_type, changed(class_type, inputs)]
        if unique(class_type):
            parts.append(node_id)
        for key in sorted(inputs):
            value = inputs[key]
            link = link_of(value)
            parts.append(
                [key, value] if link is None else [key, "link", name(link.node), link.slot]
            )
        open_nodes.discard(node_id)
        text = json.dumps(parts, sort_keys=True, default=str)
        names[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return names[node_id]

    for node_id in graph:
        name(node_id)
    return names


class NodeCache:
    """Results by signature, as one of ComfyUI's cache modes keeps them.

    Its default mode keeps older prompts' results only while nearly 96 GB of memory are free, so
    on most hosts it behaves as "classic" does: what the newest prompt cannot use is gone.
    """

    def __init__(self, mode: CacheMode = "classic", budget: int = DEFAULT_BUDGET) -> None:
        self._mode = mode
        self._budget = budget
        self._made: OrderedDict[str, Made] = OrderedDict()

    def begin(self, names: dict[str, str]) -> None:
        """Let go of what a new prompt has no use for."""
        used = set(names.values())
        if self._mode == "none":
            self._made.clear()
        elif self._mode == "classic":
            for key in [k for k in self._made if k not in used]:
                del self._made[key]
        else:
            held = sum(_size(made) for made in self._made.values())
            for key in [k for k in self._made if k not in used]:
                if held <= self._budget:
                    break
                held -= _size(self._made.pop(key))

    def get(self, key: str) -> Made | None:
        """Return what was made under a signature."""
        if key in self._made:
            self._made.move_to_end(key)
        return self._made.get(key)

    def put(self, key: str, made: Made) -> None:
        """Keep what was made."""
        self._made[key] = made

    def clear(self) -> None:
        """Forget everything."""
        self._made.clear()


def _size(made: Made) -> int:
    """Estimate the memory that a result holds."""
    return sum(int(getattr(v, "nbytes", sys.getsizeof(v))) for v in made.values)
