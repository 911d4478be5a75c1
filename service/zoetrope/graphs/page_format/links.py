"""Where an input's value comes from: links are followed through everything that is not sent itself."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgspec import UNSET

from . import virtual
from .frontend import Frontend
from .live import BYPASSED, MUTED, LiveGraph, LiveNode
from .page import INPUT_END
from .remark import Remark, Unconvertible
from .subgraphs import shown

_ANY: Final = ("*", "")


class Level(NamedTuple):
    """An instance on the way to a node, and the graph that the instance is in."""

    graph: LiveGraph
    instance: LiveNode


class NodePlace(NamedTuple):
    """A node as it is sent: the instances around it, its graph, and the node."""

    levels: tuple[Level, ...]
    graph: LiveGraph
    node: LiveNode

    @property
    def id(self) -> str:
        """The id that it is sent with."""
        return ":".join((*(level.instance.id for level in self.levels), self.node.id))


class FromOutput(NamedTuple):
    """A node's output feeds the input."""

    place: NodePlace
    slot: int


class FromInstance(NamedTuple):
    """An instance's value feeds the input."""

    value: Any


def resolve(place: NodePlace, at: int, frontend: Frontend) -> FromOutput | FromInstance | None:
    """Follow an input to what feeds it; Unconvertible where the page itself gives up."""
    seen: set[tuple[str, str, str, int]] = set()
    wanted: str | None = None
    while True:
        _visit(seen, place, "I", at)
        if not 0 <= at < len(place.node.inputs):
            raise _stop(
                place, "dangling-link", f"a link needs its input {at}, which it does not have"
            )
        slot = place.node.inputs[at]
        if slot.link is None:
            return None
        link = place.graph.links.get(slot.link)
        if link is None:
            say = f"its input {slot.name!r} has the link {slot.link}, which does not exist"
            raise _stop(place, "dangling-link", say)
        if place.levels and link.origin == INPUT_END:
            graph, instance = place.levels[-1]
            if not 0 <= link.origin_slot < len(instance.inputs):
                say = (
                    f"its input {slot.name!r} is linked to an input that its subgraph does not have"
                )
                raise _stop(place, "dangling-link", say)
            if instance.inputs[link.origin_slot].link is None:
                value = shown(instance, link.origin_slot, frontend)
                return None if value is UNSET else FromInstance(value)
            place, at = NodePlace(place.levels[:-1], graph, instance), link.origin_slot
            wanted = None
            continue
        origin = place.graph.nodes.get(link.origin)
        if origin is None:
            say = (
                f"its input {slot.name!r} is linked to the node {link.origin}, which does not exist"
            )
            raise _stop(place, "dangling-link", say)
        kind = wanted if wanted is not None else slot.type
        found = _output(
            NodePlace(place.levels, place.graph, origin), link.origin_slot, kind, seen, frontend
        )
        if found is None or isinstance(found, FromOutput):
            return found
        place, at, wanted = found


def _output(
    place: NodePlace, at: int, kind: str, seen: set[tuple[str, str, str, int]], frontend: Frontend
) -> FromOutput | tuple[NodePlace, int, str | None] | None:
    """Follow an output: to itself, to nothing, or to the input which stands for it."""
    while True:
        node = place.node
        if node.type == "Reroute" and (place.graph.id, node.id, "O", at) in seen:
            if frontend.is_old:
                raise _stop(place, "circle", "links lead around in a circle")
            return None  # the page cuts a circle of them when it opens
        _visit(seen, place, "O", at)
        if node.mode == MUTED and not frontend.is_old:
            return None
        if node.mode == BYPASSED:
            around = _around(place, at, kind)
            return None if around is None else (place, around, None)
        if node.definition is None:
            break
        inner = _inner(place, at)
        if inner is None:
            return None
        place, at = inner
    if not node.virtual:
        return FromOutput(place, at)
    if node.type == "GetNode":
        graphs = (place.graph, *(level.graph for level in reversed(place.levels)))
        found = virtual.setter(node, graphs)
        if found is None:
            return None
        setter, graph = found
        depth = next(i for i, around_it in enumerate(graphs) if around_it is graph)
        levels = place.levels[: len(place.levels) - depth]
        return (NodePlace(levels, graph, setter), 0, kind) if _is_linked(setter, 0) else None
    return (place, at, kind) if _is_linked(node, at) else None


def _inner(place: NodePlace, at: int) -> tuple[NodePlace, int] | None:
    """Enter an instance: its output is one of a node within."""
    node = place.node
    definition = node.definition
    if definition is None or not 0 <= at < len(definition.outputs):
        raise _stop(place, "dangling-link", f"a link needs its output {at}, which it does not have")
    keys = definition.outputs[at].links
    link = definition.links.get(keys[0]) if keys else None
    if link is None:
        return None
    origin = definition.nodes.get(link.origin)
    if origin is None:
        name = definition.outputs[at].name
        raise _stop(place, "dangling-link", f"its output {name!r} is linked to no node within")
    return NodePlace(
        (*place.levels, Level(place.graph, node)), definition, origin
    ), link.origin_slot


def _around(place: NodePlace, at: int, kind: str) -> int | None:
    """Find the input that stands for an output of a bypassed node."""
    node = place.node
    if not 0 <= at < len(node.outputs):
        raise _stop(place, "dangling-link", f"a link needs its output {at}, which it does not have")
    if kind in _ANY:
        return at if len(node.inputs) > at else 0
    own = node.outputs[at].type
    if at < len(node.inputs) and _fits(node.inputs[at].type, own, kind):
        return at
    equal = (i for i, slot in enumerate(node.inputs) if slot.type == kind)
    fitting = (i for i, slot in enumerate(node.inputs) if _fits(slot.type, own, kind))
    return next(equal, next(fitting, None))


def _fits(kind: str, *others: str) -> bool:
    return all(fits(kind, other) for other in others)


def fits(one: str, other: str) -> bool:
    """Return whether two slots' types can be linked."""
    if one in _ANY or other in _ANY or one.lower() == other.lower():
        return True
    return not set(one.lower().split(",")).isdisjoint(other.lower().split(","))


def _is_linked(node: LiveNode, at: int) -> bool:
    return 0 <= at < len(node.inputs) and node.inputs[at].link is not None


def _visit(seen: set[tuple[str, str, str, int]], place: NodePlace, side: str, at: int) -> None:
    key = (place.graph.id, place.node.id, side, at)
    if key in seen:
        raise _stop(place, "circle", "links lead around in a circle")
    seen.add(key)


def _stop(place: NodePlace, key: str, sentence: str) -> Unconvertible:
    title = place.node.title or place.node.type
    return Unconvertible(Remark(key, sentence, place.id, title, error=True))
