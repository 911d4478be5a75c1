"""How the newest frontend takes over the values that older ones showed on a subgraph's instance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from .live import LiveNode, Slot
from .page import INPUT_END, PageLink
from .subgraphs import targets, widget_within


def move(node: LiveNode, instances: Sequence[LiveNode]) -> None:
    """Give an instance the values that its list of shown widgets names; `instances` share its definition."""
    told = node.page.properties.get("proxyWidgets")
    if node.definition is None or not isinstance(told, list) or not told:
        return
    if not all(_is_entry(entry) for entry in told):
        return
    values = node.page.values
    values = values if isinstance(values, list) else []
    for place, entry in enumerate(told):
        value = values[place] if place < len(values) else UNSET
        if value is None:
            value = UNSET
        if entry[0] == "-1":
            if value is not UNSET and entry[1] in node.own_values:
                node.own_values[entry[1]] = value
            continue
        name = _linked(node, entry[0], entry[1])
        if name is None:
            name = _promoted(node, entry[0], entry[1], instances)
        if name in node.own_values and value is not UNSET:
            node.own_values[name] = value


def _promoted(
    node: LiveNode, source: str, widget: str, instances: Sequence[LiveNode]
) -> str | None:
    """Let a definition have an input for a widget within which had none; all its instances get it."""
    definition = node.definition
    within = definition.nodes.get(source) if definition else None
    if definition is None or within is None:
        return None
    name = widget
    if within.type == "PrimitiveNode":
        keys = within.outputs[0].links if within.outputs else ()
        ends = [definition.links[key] for key in keys if key in definition.links]
        fed = [
            (end.target, definition.nodes[end.target], end.id)
            for end in ends
            if end.target in definition.nodes
        ]
        slots = [
            (target, slot) for _, target, key in fed for slot in target.inputs if slot.link == key
        ]
        name = within.page.title or widget
    else:
        slots = [(within, slot) for slot in within.inputs if slot.widget == widget]
    if not slots:
        return None
    taken = {slot.name for slot in definition.inputs}
    unique, count = name, 0
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    place = len(definition.inputs)
    keys = tuple(f"promoted:{place}:{i}" for i in range(len(slots)))
    for key, (target, slot) in zip(keys, slots, strict=True):
        slot.link = key
        at = target.inputs.index(slot)
        definition.links[key] = PageLink(key, INPUT_END, place, target.id, at, slot.type)
    definition.inputs.append(Slot(unique, slots[0][1].type, links=keys))
    shown = widget_within(definition, place)
    for instance in instances:
        instance.inputs.append(Slot(unique, slots[0][1].type))
        if shown is not None:
            instance.own_values[unique] = shown.value
    return unique


def _linked(node: LiveNode, source: str, widget: str) -> str | None:
    """Find the input of an instance that shows a widget within."""
    definition = node.definition
    if definition is None:
        return None
    for place, slot in enumerate(node.inputs):
        for inner, target in targets(definition, place):
            if inner.definition is None and inner.widget_of(target) is None:
                continue
            name = target.name if inner.definition is not None else target.widget
            if inner.id == source and name == widget:
                return slot.name
            break
    return None


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) in (2, 3)
        and all(isinstance(part, str) for part in entry)
    )
