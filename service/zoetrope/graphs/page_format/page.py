"""A page document as structs: nodes, links in both spellings, definitions of subgraphs, group nodes.

Positions, frames, colours and the page's own reroute points say nothing about the graph, and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...errors import RecipeError

#: Ids of a definition's own two ends, in its links.
INPUT_END: Final = "-10"
OUTPUT_END: Final = "-20"

_NEXT: Final = "Save it again in ComfyUI, with `Save` or `Export`."


class PageSlot(msgspec.Struct, frozen=True):
    """An input or output as the page saved it."""

    name: str
    type: str = "*"
    link: str | None = None
    links: tuple[str, ...] = ()
    widget: str = ""


class PageNode(msgspec.Struct, frozen=True):
    """A node as the page saved it."""

    id: str
    type: str
    mode: int = 0
    title: str = ""
    inputs: tuple[PageSlot, ...] = ()
    outputs: tuple[PageSlot, ...] = ()
    values: list[Any] | dict[str, Any] | None = None
    properties: Mapping[str, Any] = {}


class PageLink(msgspec.Struct, frozen=True):
    """A link between two slots of one graph."""

    id: str
    origin: str
    origin_slot: int
    target: str
    target_slot: int
    type: str = "*"


class PageGraph(msgspec.Struct, frozen=True):
    """The root graph, or what a subgraph is defined as."""

    id: str
    nodes: tuple[PageNode, ...]
    links: Mapping[str, PageLink]
    inputs: tuple[PageSlot, ...] = ()
    outputs: tuple[PageSlot, ...] = ()


class PageDocument(msgspec.Struct, frozen=True):
    """A whole document: its root graph, the definitions, and the group nodes of older pages."""

    root: PageGraph
    definitions: tuple[PageGraph, ...] = ()
    groups: Mapping[str, Any] = {}
    last_node: int = 0


def read(raw: Mapping[str, Any], origin: str) -> PageDocument:
    """Take a page document apart; RecipeError names the place that is no node, link or definition."""
    definitions = _objects(
        _object(raw.get("definitions")).get("subgraphs"), "definitions.subgraphs", origin
    )
    state = _object(raw.get("state"))
    counters = (raw.get("last_node_id"), state.get("lastNodeId"))
    last = max((_number(found) for found in counters), default=0)
    return PageDocument(
        root=_graph(raw, "", origin),
        definitions=tuple(
            _graph(found, f"definitions.subgraphs[{place}].", origin)
            for place, found in enumerate(definitions)
        ),
        groups=_object(_object(raw.get("extra")).get("groupNodes")),
        last_node=last,
    )


def id_of(value: object) -> str:
    """Spell an id as the page does as soon as it compares it: as text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def group_part(raw: Mapping[str, Any], place: int) -> PageNode:
    """Read a node of a group node: its place is its id, and its links are the group's."""
    return _node({**raw, "id": place}, f"extra.groupNodes nodes[{place}]", "The workflow")


def _graph(raw: Mapping[str, Any], place: str, origin: str) -> PageGraph:
    nodes = tuple(
        _node(found, f"{place}nodes[{i}]", origin)
        for i, found in enumerate(_objects(raw.get("nodes"), f"{place}nodes", origin))
    )
    links: dict[str, PageLink] = {}
    told = raw.get("links")
    told = list(told.values()) if isinstance(told, dict) else told
    if not isinstance(told, list | None):
        raise _malformed(origin, f"{place}links", "is not a list")
    for i, found in enumerate(told or ()):
        if found is not None:
            link = _link(found, f"{place}links[{i}]", origin)
            links[link.id] = link
    return PageGraph(
        id=str(raw.get("id") or ""),
        nodes=nodes,
        links=links,
        inputs=_slots(raw.get("inputs"), f"{place}inputs", origin),
        outputs=_slots(raw.get("outputs"), f"{place}outputs", origin),
    )


def _node(raw: Mapping[str, Any], place: str, origin: str) -> PageNode:
    if "id" not in raw or isinstance(raw["id"], dict | list | bool | None):
        raise _malformed(origin, place, "has no id")
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise _malformed(origin, place, "has no type")
    mode = raw.get("mode")
    title = raw.get("title")
    values = raw.get("widgets_values")
    return PageNode(
        id=id_of(raw["id"]),
        type=kind,
        mode=_number(mode),
        title=title if isinstance(title, str) else "",
        inputs=_slots(raw.get("inputs"), f"{place}.inputs", origin),
        outputs=_slots(raw.get("outputs"), f"{place}.outputs", origin),
        values=values if isinstance(values, list | dict) else None,
        properties=_object(raw.get("properties")),
    )


def _slots(raw: object, place: str, origin: str) -> tuple[PageSlot, ...]:
    return tuple(_slot(found) for found in _objects(raw, place, origin))


def _slot(raw: Mapping[str, Any]) -> PageSlot:
    link = raw.get("link")
    links = raw.get("links", raw.get("linkIds"))
    return PageSlot(
        name=str(raw.get("name", "")),
        type=type_of(raw.get("type")),
        link=None if link is None else id_of(link),
        links=tuple(id_of(found) for found in links) if isinstance(links, list) else (),
        widget=str(_object(raw.get("widget")).get("name") or ""),
    )


def type_of(raw: object) -> str:
    """Spell a slot's type; what the page takes for anything at all is `*`."""
    if isinstance(raw, list):
        return "COMBO"
    return "*" if raw in (None, "", 0, "*") else str(raw)


def _link(raw: object, place: str, origin: str) -> PageLink:
    try:
        if isinstance(raw, list):
            found = raw[:5]
            kind = raw[5] if len(raw) > 5 else None
        elif isinstance(raw, dict):
            keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
            found = [raw[key] for key in keys]
            kind = raw.get("type")
        else:
            found, kind = [], None  # is no link, as the next line finds
        link, origin_id, origin_slot, target_id, target_slot = found
        return PageLink(
            id=id_of(link),
            origin=id_of(origin_id),
            origin_slot=int(origin_slot),
            target=id_of(target_id),
            target_slot=-1 if target_slot is None else int(target_slot),
            type=type_of(kind),
        )
    except (TypeError, ValueError, KeyError, OverflowError):
        raise _malformed(origin, place, "is not a link") from None


def _objects(raw: object, place: str, origin: str) -> list[dict[str, Any]]:
    """Give a list of objects; what is absent is an empty one."""
    if raw is None:
        return []
    if isinstance(raw, dict):  # some old pages keep lists as objects
        raw = list(raw.values())
    if not isinstance(raw, list):
        raise _malformed(origin, place, "is not a list")
    for i, found in enumerate(raw):
        if not isinstance(found, dict):
            raise _malformed(origin, f"{place}[{i}]", "is not an object")
    return raw


def _object(raw: object) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _number(value: object) -> int:
    """Read a whole number; anything else counts as 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else 0


def _malformed(origin: str, place: str, why: str) -> RecipeError:
    return RecipeError(f"{origin}: not a workflow of ComfyUI's page ({place[:120]} {why}).", _NEXT)
