"""A page document becomes the graph that ComfyUI's own page would submit for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from . import doubles, links, text, virtual
from .classes import Classes
from .frontend import Frontend
from .inputs import Inputs
from .links import FromOutput, Level, NodePlace
from .live import LiveGraph, LiveNode, Widget
from .opening import Opener
from .page import read
from .remark import Remark, Unconvertible
from .subgraphs import DEEPEST

#: More than any workflow that was seen; instances within instances multiply.
_MOST: Final = 20_000


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node as the page sends it; one of an unknown class has no `class_type`."""

    inputs: dict[str, Any]
    class_type: str | None = None
    title: str | None = None

    @property
    def plain(self) -> dict[str, Any]:
        """The node as plain JSON values."""
        kind = {} if self.class_type is None else {"class_type": self.class_type}
        meta = {} if self.title is None else {"title": self.title}
        return {"inputs": self.inputs, **kind, "_meta": meta}


class Conversion(msgspec.Struct, frozen=True):
    """A graph, and what is to be said about it; no graph where the page itself gives none."""

    nodes: dict[str, Sent] | None
    findings: tuple[Remark, ...] = ()

    @property
    def plain(self) -> dict[str, Any] | None:
        """The graph as plain JSON values, as the page writes it."""
        if self.nodes is None:
            return None
        return {node_id: node.plain for node_id, node in self.nodes.items()}


def convert(
    document: Mapping[str, Any],
    classes: Classes,
    frontend: Frontend,
    *,
    now: datetime,
    choose: text.Choose,
    origin: str = "The workflow",
) -> Conversion:
    """Convert a page document; RecipeError if it is none, findings for all that is doubtful in it."""
    inputs = Inputs(frontend)
    page = read(document, origin)
    opener = Opener(classes, inputs)
    try:
        opened = opener.open(page)
        places = tuple(_places(opened.root, frontend))
        everywhere = tuple(_everything(opened.root, opened.definitions.values()))
        replace = _replacer(everywhere, now)
        used = {id(level.graph): level.graph for place in places for level in place.levels}
        within = {id(place.graph): place.graph for place in places}
        for graph in {id(opened.root): opened.root, **used, **within}.values():
            virtual.apply_primitives(graph, inputs, replace)
        sending = _Sending(frontend, choose, replace)
        nodes = {place.id: sending.node(place) for place in places}
    except Unconvertible as stop:
        return Conversion(None, (*opener.findings, stop.finding))
    for node in nodes.values():
        for name in [n for n, v in node.inputs.items() if _is_link(v) and v[0] not in nodes]:
            del node.inputs[name]
    return Conversion(nodes, (*opener.findings, *sending.findings))


class _Sending:
    """Makes nodes into what is sent."""

    def __init__(
        self, frontend: Frontend, choose: text.Choose, replace: Callable[[str], str]
    ) -> None:
        self.frontend = frontend
        self.choose = choose
        self.replace = replace
        self.saves = text.saves(frontend)
        self.findings: list[Remark] = []

    def node(self, place: NodePlace) -> Sent:
        """Make one node."""
        node = place.node
        sent: dict[str, Any] = {}
        if node.kind is None:
            sent |= _unknown(node, self.frontend)
            say = f"this ComfyUI has no node {node.type!r}"
            self.findings.append(
                Remark("unknown-class", say, place.id, node.title or node.type, True)
            )
        for widget in node.widgets:
            if widget.name and widget.sent:
                value = self.value(node, widget)
                if value is UNSET:
                    sent.pop(widget.name, None)
                else:
                    sent[widget.name] = value
        for at, slot in enumerate(node.inputs):
            if slot.link is None:
                continue
            found = links.resolve(place, at, self.frontend)
            if isinstance(found, FromOutput):
                sent[slot.name] = [found.place.id, found.slot]
            elif found is not None:
                value = found.value
                own = node.widget_of(slot)
                if own is not None and own.options.get("multiline") and self.frontend.is_old:
                    value = doubles.text(value)  # a text area makes a text of anything
                sent[slot.name] = _boxed(doubles.plain(value))
        title = node.title if node.kind or node.title else None
        return Sent(sent, node.type if node.kind else None, title)

    def value(self, node: LiveNode, widget: Widget) -> Any:
        """Give a widget's value as it is sent."""
        value = widget.value
        if widget.computed is not None:
            value = widget.computed()
        elif widget.kind == "index":
            options = [found.value for found in node.widgets[2:]]
            choice = node.widgets[0].value
            value = options.index(choice) if choice in options else -1
        elif widget.kind == "AUDIO_UI" and node.type == "LoadAudio" and not self.frontend.is_old:
            value = _player(node)
        elif isinstance(value, str):
            if widget.name == "filename_prefix" and node.type in self.saves:
                value = self.replace(value)
            elif widget.kind == "STRING" and widget.options.get("dynamicPrompts"):
                value = text.prompt(value, self.choose)
        if value is UNSET:
            return UNSET
        curve = widget.kind == "CURVE" and not self.frontend.is_old
        return _boxed(doubles.plain(value), {"__type__": "CURVE"} if curve else {})


def _places(root: LiveGraph, frontend: Frontend) -> Iterator[NodePlace]:
    """List all nodes that are sent; instances give theirs in place of themselves."""
    waiting = [NodePlace((), root, node) for node in reversed(root.nodes.values())]
    count = 0
    while waiting:
        place = waiting.pop()
        node = place.node
        if node.definition is None:
            if node.virtual or node.is_out:
                continue
            count += 1
            if count > _MOST:
                say = f"it comes to more than {_MOST} nodes, with those of its subgraphs"
                raise Unconvertible(Remark("too-many-nodes", say, error=True))
            yield place
            continue
        if not place.levels and node.is_out and not frontend.is_old:
            continue
        inside = any(level.instance.definition is node.definition for level in place.levels)
        if inside or len(place.levels) > DEEPEST:
            title = node.title or node.type
            raise Unconvertible(
                Remark("circle", "this subgraph contains itself", place.id, title, error=True)
            )
        levels = (*place.levels, Level(place.graph, node))
        waiting += [
            NodePlace(levels, node.definition, inner)
            for inner in reversed(node.definition.nodes.values())
        ]


def _everything(root: LiveGraph, definitions: Sequence[LiveGraph] | Any) -> Iterator[LiveNode]:
    yield from root.nodes.values()
    for graph in definitions:
        yield from graph.nodes.values()


def _replacer(nodes: Sequence[LiveNode], now: datetime) -> Callable[[str], str]:
    return lambda told: text.replaced(told, nodes, now)


def _unknown(node: LiveNode, frontend: Frontend) -> dict[str, Any]:
    """Give what the page sends of a node whose class it does not know: its values, most under one name."""
    values = node.page.values
    if not isinstance(values, list) or not values:
        return {}
    sent = {}
    for place, value in enumerate(values):
        value = doubles.plain(value)
        if value is None or isinstance(value, list | dict):
            value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        numbered = place and frontend is Frontend.PINNED
        sent[f"UNKNOWN_{place}" if numbered else "UNKNOWN"] = value
    return sent


def _player(node: LiveNode) -> str:
    """Give the address that the page's player has; the number at its end is random, and means nothing."""
    widget = node.widget("audio")
    if widget is None or not isinstance(widget.value, str) or not widget.value:
        return ""
    folder, _, name = widget.value.rpartition("/")
    name = quote(name, safe="!'()*~")
    return f"/api/view?filename={name}&type=input&subfolder={folder}&rand=0.5"


def _boxed(value: Any, beside: Mapping[str, str] = {}) -> Any:
    """Keep a list from being taken for a link."""
    return {**beside, "__value__": value} if isinstance(value, list) else value


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2
