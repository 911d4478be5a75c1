"""Subgraphs: ids that collide, and the values that an instance shows of the nodes within."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from .frontend import Frontend
from .live import LiveGraph, LiveNode, Slot, Widget
from .page import PageDocument, PageGraph, PageLink

#: No page nests its subgraphs deeper.
DEEPEST: Final = 100


def renumbered(page: PageDocument, frontend: Frontend) -> PageDocument:
    """Give nodes of definitions whose ids are taken the next free ones, as the page does when it opens."""
    if frontend.is_old:
        return page
    used = {node.id for node in page.root.nodes if _whole(node.id) is not None}
    highest = max((page.last_node, *(int(node_id) for node_id in used)))
    kept: list[PageGraph] = []
    moved: dict[str, dict[str, str]] = {}
    for graph in page.definitions:
        names: dict[str, str] = {}
        for node in graph.nodes:
            number = _whole(node.id)
            if number is None:
                continue
            if node.id in used:
                highest += 1
                while str(highest) in used:
                    highest += 1
                names[node.id] = str(highest)
                used.add(str(highest))
            else:
                used.add(node.id)
                highest = max(highest, number)
        moved[graph.id] = names
        kept.append(_moved(graph, names) if names else graph)
    if not any(moved.values()):
        return page
    return msgspec.structs.replace(
        page,
        root=_followed(page.root, moved),
        definitions=tuple(_followed(graph, moved) for graph in kept),
    )


def _moved(graph: PageGraph, names: Mapping[str, str]) -> PageGraph:
    nodes = tuple(
        msgspec.structs.replace(node, id=names.get(node.id, node.id)) for node in graph.nodes
    )
    links = {
        key: PageLink(
            link.id,
            names.get(link.origin, link.origin),
            link.origin_slot,
            names.get(link.target, link.target),
            link.target_slot,
            link.type,
        )
        for key, link in graph.links.items()
    }
    return msgspec.structs.replace(graph, nodes=nodes, links=links)


def _followed(graph: PageGraph, moved: Mapping[str, Mapping[str, str]]) -> PageGraph:
    """Let what instances say of the nodes within name them by their new ids."""
    nodes = []
    for node in graph.nodes:
        names = moved.get(node.type)
        told = node.properties.get("proxyWidgets")
        if names and isinstance(told, list):
            entries = [
                [names.get(str(e[0]), e[0]), *e[1:]] if isinstance(e, list) and e else e
                for e in told
            ]
            properties = {**node.properties, "proxyWidgets": entries}
            node = msgspec.structs.replace(node, properties=properties)
        nodes.append(node)
    return msgspec.structs.replace(graph, nodes=tuple(nodes))


def leaves_first(definitions: Sequence[PageGraph]) -> list[PageGraph]:
    """Order definitions so that each comes after those that it uses; those in a circle keep their place."""
    by_id = {graph.id: graph for graph in definitions}
    waiting = {
        graph.id: {node.type for node in graph.nodes if node.type in by_id} for graph in definitions
    }
    ordered: list[PageGraph] = []
    done: set[str] = set()
    while len(ordered) < len(by_id):
        ready = [key for key, needs in waiting.items() if key not in done and needs <= done]
        if not ready:
            return [*ordered, *(graph for key, graph in by_id.items() if key not in done)]
        done.update(ready)
        ordered += [by_id[key] for key in ready]
    return ordered


def targets(
    graph: LiveGraph, place: int, *, as_saved: bool = False
) -> Iterator[tuple[LiveNode, Slot]]:
    """List the inner inputs that an input of the definition feeds; `as_saved` believes stale places."""
    for key in graph.inputs[place].links if place < len(graph.inputs) else ():
        link = graph.links.get(key)
        node = graph.nodes.get(link.target) if link else None
        at = node.place_of(key) if node else None
        if as_saved and node and link and 0 <= link.target_slot < len(node.inputs):
            at = link.target_slot
        if node is not None and at is not None:
            yield node, node.inputs[at]


def widget_within(
    graph: LiveGraph, place: int, depth: int = 0, *, as_saved: bool = False
) -> Widget | None:
    """Find the first widget that an input of a definition reaches, through instances within as well."""
    for node, slot in targets(graph, place, as_saved=as_saved):
        if node.definition is not None:
            at = node.inputs.index(slot)
            deeper = depth < DEEPEST
            found = (
                widget_within(node.definition, at, depth + 1, as_saved=as_saved) if deeper else None
            )
        else:
            found = node.widget_of(slot)
        if found is not None:
            return found
    return None


def shown(instance: LiveNode, place: int, frontend: Frontend) -> Any:
    """Return the value that an instance shows for one of its inputs; UNSET if it shows none."""
    definition = instance.definition
    if definition is None or place >= len(instance.inputs):
        return UNSET
    if frontend.keeps_instance_values:
        return instance.own_values.get(instance.inputs[place].name, UNSET)
    widget = widget_within(definition, place)
    return UNSET if widget is None else widget.value


def own_values(instance: LiveNode, saved: object, *, as_saved: bool) -> None:
    """Give an instance its own values: what the page saved with it, in the order of its inputs."""
    definition = instance.definition
    if definition is None:
        return
    values = saved if isinstance(saved, list) else []
    place = 0
    for at, slot in enumerate(instance.inputs):
        widget = widget_within(definition, at, as_saved=as_saved)
        if widget is None:
            continue
        given = values[place] if place < len(values) else _initial(definition, at, widget)
        instance.own_values.setdefault(slot.name, given)
        place += 1


def _initial(definition: LiveGraph, place: int, widget: Widget) -> Any:
    """Return what an instance shows at first: the value of the widget within, or of the instance within."""
    for node, slot in targets(definition, place):
        if node.definition is not None and slot.name in node.own_values:
            return node.own_values[slot.name]
        if node.widget_of(slot) is not None:
            break
    return widget.value


def _whole(node_id: str) -> int | None:
    return int(node_id) if node_id.removeprefix("-").isdecimal() and len(node_id) < 16 else None
