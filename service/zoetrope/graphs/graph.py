"""An API-format ComfyUI graph as data, and the few ways in which we change one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import RecipeError

Inputs = dict[str, Any]


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node: its class and its inputs, each a value or a link `[node, output]`."""

    class_type: str
    inputs: Inputs = {}
    meta: dict[str, Any] = msgspec.field(name="_meta", default_factory=dict)


Graph = dict[str, Node]


def digest(graph: Graph) -> str:
    """Name a graph by its content, whatever the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(graph, order="sorted")).hexdigest()


def put(graph: Graph, values: Mapping[str, Any]) -> Graph:
    """Set inputs by their place, `node.input`; a place that does not exist is the recipe's mistake."""
    changed = dict(graph)
    for place, value in values.items():
        name, _, key = place.partition(".")
        node = changed.get(name)
        if node is None or not key:
            raise RecipeError(f"There is no place {place!r} in the graph.")
        changed[name] = msgspec.structs.replace(node, inputs={**node.inputs, key: value})
    return changed


def swap(graph: Graph, name: str, class_type: str, inputs: Mapping[str, Any]) -> Graph:
    """Let another class do a node's work: its links stay, its other inputs are replaced."""
    if name not in graph:
        raise RecipeError(f"There is no node {name!r} in the graph.")
    links = {key: value for key, value in graph[name].inputs.items() if isinstance(value, list)}
    node = Node(class_type=class_type, inputs={**links, **inputs}, meta=graph[name].meta)
    return {**graph, name: node}
