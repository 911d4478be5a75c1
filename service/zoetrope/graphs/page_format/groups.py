"""Group nodes, the older kind of subgraph: their parts are a list, and have their places in it for ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .frontend import Frontend
from .inputs import Inputs
from .live import LiveGraph, LiveNode, Slot
from .page import INPUT_END, OUTPUT_END, PageGraph, PageLink, PageNode, group_part
from .values import put, settle

Make = Callable[[PageNode, LiveGraph], LiveNode]


def name_of(saved: PageNode, groups: Mapping[str, Any]) -> str | None:
    """Return which group node a node is an instance of."""
    for prefix in ("workflow>", "workflow/"):
        name = saved.type.removeprefix(prefix)
        if name != saved.type and isinstance(groups.get(name), dict):
            return name
    return None


def fill(
    node: LiveNode, group: Mapping[str, Any], inputs: Inputs, make: Make, free_id: Callable[[], str]
) -> None:
    """Give an instance the parts of its group, as a definition of its own."""
    told = group.get("nodes")
    parts = [part for part in told if isinstance(part, dict)] if isinstance(told, list) else []
    saved = tuple(group_part(part, place) for place, part in enumerate(parts))
    links = {link.id: link for link in _links(group.get("links"))}
    graph = LiveGraph(f"{node.type} {node.id}", PageGraph("", saved, links), links=links)
    for part in saved:
        made = make(part, graph)
        for at, slot in enumerate(part.inputs):
            fed = next(
                (k for k, v in links.items() if v.target == part.id and v.target_slot == at), None
            )
            found = next((own for own in made.inputs if own.name == slot.name), None)
            if found is not None:
                found.link = fed
        graph.nodes[part.id] = made
    _inputs(node, graph)
    _outputs(node, graph, group.get("external"))
    _deal(node, graph, inputs)
    node.virtual, node.definition = True, graph
    node.title = node.title or node.type
    if inputs.frontend is Frontend.PINNED:  # which makes a subgraph of it when it opens
        for made in (*graph.nodes.values(), node):
            made.id = free_id()


def _links(raw: object) -> Iterator[PageLink]:
    for place, link in enumerate(raw if isinstance(raw, list) else ()):
        if isinstance(link, list) and len(link) > 3 and all(type(end) is int for end in link[:4]):
            origin, origin_slot, target, target_slot = link[:4]
            yield PageLink(f"within:{place}", str(origin), origin_slot, str(target), target_slot)


def _inputs(node: LiveNode, graph: LiveGraph) -> None:
    """Let the group's own inputs feed the inner sockets that nothing within feeds, in their order."""
    saved = [slot for slot in node.page.inputs if not slot.widget]
    fed: list[Slot] = []
    for inner in tuple(graph.nodes.values()):
        for at, slot in enumerate(inner.inputs):
            if slot.link is None and not slot.widget:
                place = len(fed)
                key = f"in:{place}"
                slot.link = key
                graph.links[key] = PageLink(key, INPUT_END, place, inner.page.id, at, slot.type)
                graph.inputs.append(Slot(slot.name, slot.type, links=(key,)))
                fed.append(Slot(slot.name, slot.type))
    by_name = {slot.name: slot for slot in saved}
    for place, slot in enumerate(fed):
        same = by_name.get(slot.name)
        if same is None and len(saved) == len(fed):
            same = saved[place]
        slot.link = same.link if same else None
    node.inputs = fed


def _outputs(node: LiveNode, graph: LiveGraph, external: object) -> None:
    """Let inner outputs that nothing within uses, or that are named, be the group's own."""
    shown = external if isinstance(external, list) else []
    named = {(str(e[0]), e[1]) for e in shown if isinstance(e, list) and len(e) > 1}
    used = {(link.origin, link.origin_slot) for link in graph.links.values()}
    for inner in tuple(graph.nodes.values()):
        for at, slot in enumerate(inner.outputs):
            place = (inner.page.id, at)
            if place in used and place not in named:
                continue
            key = f"out:{len(graph.outputs)}"
            graph.links[key] = PageLink(key, inner.page.id, at, OUTPUT_END, len(graph.outputs))
            graph.outputs.append(Slot(slot.name, slot.type, links=(key,)))
    node.outputs = [Slot(slot.name, slot.type) for slot in graph.outputs]


def _deal(node: LiveNode, graph: LiveGraph, inputs: Inputs) -> None:
    """Give the values of the group to the widgets within that nothing within feeds."""
    values = node.page.values
    waiting = list(values) if isinstance(values, list) else []
    for inner in graph.nodes.values():
        linked = {slot.widget for slot in inner.inputs if slot.widget and slot.link is not None}
        listed = (
            {spec.name for spec in inner.kind.inputs if spec.is_listed} if inner.kind else set()
        )
        place = 0
        while place < len(inner.widgets) and waiting:
            widget = inner.widgets[place]
            place += 1
            skipped = widget.name in listed and inputs.frontend is Frontend.SHARED
            if widget.slot and widget.name not in linked and not skipped:
                put(inner, widget, waiting.pop(0), inputs)
        settle(inner, inputs)
