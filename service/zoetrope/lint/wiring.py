"""The links of a graph, and how a document that claims to be one is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..graphs.graph import Node

Document = Mapping[str, Any]

_ANY = {"*", "COMFY_MATCHTYPE_V3"}


class Link(NamedTuple):
    """Where an input's value comes from: a node and one of its outputs."""

    node: str
    slot: int


class Wiring(NamedTuple):
    """A document taken apart: its nodes, and the entries that are none, each with the reason."""

    nodes: dict[str, Node]
    malformed: dict[str, str]
    page_format: bool


def link_of(value: object) -> Link | None:
    """Read `[node, output]`; anything else is None."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    node, slot = value
    if isinstance(slot, bool) or not isinstance(slot, int):
        return None
    if isinstance(node, str):
        return Link(node, slot)
    return Link(str(node), slot) if isinstance(node, int) and abs(node) < 10**18 else None


def fits(given: str, wanted: str) -> bool:
    """Say whether an output of one type may feed an input of another, as the server does."""
    if given == wanted or given in _ANY or wanted in _ANY:
        return True
    left = {part.strip() for part in given.split(",")}
    right = {part.strip() for part in wanted.split(",")}
    return "*" in left | right or bool(left & right)


def read(document: Document) -> Wiring:
    """Take a document apart, whatever is in it; nodes that are read already stay as they are."""
    nodes: dict[str, Node] = {}
    malformed: dict[str, str] = {}
    page_format = isinstance(document.get("nodes"), list)
    for key, entry in document.items():
        node_id = str(key)
        if isinstance(entry, Node):
            nodes[node_id] = entry
            continue
        reason = _reason(entry)
        if reason:
            malformed[node_id] = reason
            continue
        meta = entry.get("_meta")
        nodes[node_id] = Node(
            class_type=entry["class_type"],
            inputs=entry.get("inputs") or {},
            meta=meta if isinstance(meta, dict) else {},
        )
    return Wiring(nodes, malformed, page_format)


def _reason(entry: object) -> str:
    if not isinstance(entry, dict):
        return "is no node"
    if not isinstance(entry.get("class_type"), str):
        return "has no class_type"
    if not isinstance(entry.get("inputs") or {}, dict):
        return "has inputs that are no object"
    return ""
