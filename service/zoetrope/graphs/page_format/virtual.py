"""Nodes that the page alone knows: primitives hand their value on before anything is sent; Get finds its Set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .frontend import Frontend
from .inputs import Inputs
from .live import LiveGraph, LiveNode, Slot, Widget
from .remark import Remark, Unconvertible
from .subgraphs import widget_within
from .values import receive


def apply_primitives(graph: LiveGraph, inputs: Inputs, replaced: Callable[[str], str]) -> None:
    """Let the primitives of a graph set the widgets that they are linked to, muted ones as well."""
    for node in graph.nodes.values():
        if node.type != "PrimitiveNode" or not node.outputs:
            continue
        keys = node.outputs[0].links
        if inputs.frontend.is_old and keys and (graph.id or not graph.links.keys() >= set(keys)):
            say = (
                "ComfyUI 1.27 cannot follow its output's links"
                if graph.id
                else "its output has a link that does not exist"
            )
            title = node.title or node.type
            raise Unconvertible(Remark("dangling-link", say, node.id, title, error=True))
        reached = [found for key in node.outputs[0].links if (found := _target(graph, key))]
        if not reached:
            continue
        value = _value(node, *reached[0])
        if inputs.frontend.is_old and reached[0][0].kind is None and reached[0][1].widget:
            value = (None,)  # an unknown node gives the primitive no type, and so no value
        if value is None:
            continue
        if node.page.properties.get("Run widget replace on values") and isinstance(value[0], str):
            value = (replaced(value[0]),)
        for target, slot in reached:
            widget = _widget(target, slot)
            shared = target.definition is None or inputs.frontend is not Frontend.PINNED
            if widget is not None and shared:
                receive(target, widget, value[0], inputs)


def _value(node: LiveNode, target: LiveNode, slot: Slot) -> tuple[Any] | None:
    """Return a primitive's value: its own, else that of the widget which it took its shape from."""
    widget = _widget(target, slot)
    if widget is None:
        return None
    saved = node.page.values
    if isinstance(saved, list) and saved:
        return (saved[0],)
    return (widget.value,)


def _widget(node: LiveNode, slot: Slot) -> Widget | None:
    if node.definition is not None:
        return widget_within(node.definition, node.inputs.index(slot))
    return node.widget_of(slot) if node.kind else None


def _target(graph: LiveGraph, key: str) -> tuple[LiveNode, Slot] | None:
    link = graph.links.get(key)
    node = graph.nodes.get(link.target) if link else None
    if link is None or node is None:
        return None
    place = node.place_of(key)
    place = link.target_slot if place is None else place
    return (node, node.inputs[place]) if 0 <= place < len(node.inputs) else None


def setter(node: LiveNode, graphs: Iterable[LiveGraph]) -> tuple[LiveNode, LiveGraph] | None:
    """Find the Set node of a Get node: in its own graph, then in those around it."""
    name = _name(node)
    if not name:
        return None
    for graph in graphs:
        for found in graph.nodes.values():
            if found.type == "SetNode" and _name(found) == name:
                return found, graph
    return None


def _name(node: LiveNode) -> Any:
    values = node.page.values
    return values[0] if isinstance(values, list) and values else None
