"""A page is opened: each saved node becomes one of its class, with its inputs, links and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from . import dynamic, groups, promotions, subgraphs, values
from .classes import Classes
from .frontend import titles
from .inputs import Inputs
from .live import LiveGraph, LiveNode, Slot
from .page import PageDocument, PageGraph, PageNode
from .remark import Remark

#: What the page alone knows, and never sends.
_VIRTUAL: Final = frozenset(
    ("Note", "MarkdownNote", "PrimitiveNode", "Reroute", "GetNode", "SetNode")
)


class Opened(msgspec.Struct):
    """An opened page: the root graph, and the definitions that instances share."""

    root: LiveGraph
    definitions: dict[str, LiveGraph]
    findings: list[Remark]


class Opener:
    """Opens pages as one frontend does, with one server's classes."""

    def __init__(self, classes: Classes, inputs: Inputs) -> None:
        self.classes = classes
        self.inputs = inputs
        self.titles: Mapping[str, str] = titles(inputs.frontend)
        self.findings: list[Remark] = []
        self.highest = 0  # of the ids that nodes have
        self.instances: dict[str, list[LiveNode]] = {}

    def open(self, page: PageDocument) -> Opened:
        """Open a page."""
        page = subgraphs.renumbered(page, self.inputs.frontend)
        definitions = {graph.id: _bare(graph) for graph in page.definitions}
        old = self.inputs.frontend.is_old
        for graph in page.definitions if old else subgraphs.leaves_first(page.definitions):
            self._fill(definitions[graph.id], definitions, page)
        self.highest = max(
            (
                page.last_node,
                *(int(n.id) for n in page.root.nodes if n.id.isdecimal() and len(n.id) < 16),
            )
        )
        root = _bare(page.root)
        root.id = ""  # newer pages have one; in a definition it says which
        self._fill(root, definitions, page)
        for instance in (found for some in self.instances.values() for found in some):
            if (
                self.inputs.frontend.keeps_instance_values
            ):  # definitions that came too late for them
                subgraphs.own_values(instance, (), as_saved=old)
        return Opened(root, definitions, self.findings)

    def _fill(
        self, graph: LiveGraph, definitions: Mapping[str, LiveGraph], page: PageDocument
    ) -> None:
        for saved in graph.page.nodes:
            if saved.id in graph.nodes:
                say = f"two nodes have the id {saved.id}; the last one counts"
                self.findings.append(Remark("duplicate-id", say, saved.id, saved.title))
            node = self.make(saved, graph, definitions)
            graph.nodes[saved.id] = node
            group = groups.name_of(saved, page.groups)
            if group is not None and node.kind is None:
                told = page.groups[group]
                groups.fill(node, told, self.inputs, self._part, self._free_id)
        for node in graph.nodes.values():
            if (
                node.definition is not None
                and self.inputs.frontend.keeps_instance_values
                and node.definition.id in definitions
            ):
                subgraphs.own_values(node, node.page.values, as_saved=self.inputs.frontend.is_old)
        if self.inputs.frontend is self.inputs.frontend.PINNED:
            for node in graph.nodes.values():
                promotions.move(node, self.instances.get(node.type, ()))

    def make(
        self, saved: PageNode, graph: LiveGraph, definitions: Mapping[str, LiveGraph]
    ) -> LiveNode:
        """Make one node of a graph."""
        node = LiveNode(saved.id, saved, mode=saved.mode)
        definition = definitions.get(saved.type)
        if definition is not None:
            node.definition, node.virtual = definition, True
            node.title = saved.title or saved.type
            self._join(node, definition)
            self.instances.setdefault(definition.id, []).append(node)
            return node
        node.kind = None if saved.type in _VIRTUAL else self.classes.get(saved.type)
        if node.kind is None:
            node.virtual = saved.type in _VIRTUAL
            node.title = saved.title or (saved.type if node.virtual else "")
            node.inputs = [Slot(s.name, s.type, s.link, s.widget) for s in saved.inputs]
            node.outputs = [Slot(s.name, s.type, links=s.links) for s in saved.outputs]
            return node
        named = self.titles.get(saved.type.replace(".", "_"))
        node.title = saved.title or named or node.kind.display_name
        self.inputs.declare(node, node.kind)
        self._configure(node, graph)
        return node

    def _part(self, saved: PageNode, graph: LiveGraph) -> LiveNode:
        return self.make(saved, graph, {})

    def _free_id(self) -> str:
        self.highest += 1
        return str(self.highest)

    def _configure(self, node: LiveNode, graph: LiveGraph) -> None:
        """Fill what was saved into a node of a known class."""
        saved = {slot.name: slot for slot in node.page.inputs}
        declared = {slot.name for slot in node.inputs}
        for slot in node.inputs:
            if slot.name in saved:
                slot.link = saved[slot.name].link
        node.inputs += [
            Slot(slot.name, slot.type, slot.link, slot.widget)
            for slot in node.page.inputs
            if slot.name not in declared and not (slot.widget and self.inputs.frontend.is_old)
        ]
        kinds = node.kind.outputs if node.kind else ()
        outputs = node.page.outputs
        node.outputs = [
            Slot(
                outputs[i].name if i < len(outputs) else "",
                kinds[i] if i < len(kinds) else outputs[i].type,
                links=outputs[i].links if i < len(outputs) else (),
            )
            for i in range(max(len(kinds), len(outputs)))
        ]
        place = 0
        while place < len(node.inputs) and node.growing:
            slot = node.inputs[place]
            if slot.link is not None and slot.link in graph.links:
                dynamic.connected(node, slot, self.inputs.add)
            place += 1
        values.deal(node, self.inputs)

    def _join(self, node: LiveNode, definition: LiveGraph) -> None:
        """Give an instance the ends of its definition, with the links that it was saved with."""
        saved = {slot.name: slot for slot in node.page.inputs}
        node.inputs = [
            Slot(slot.name, slot.type, saved[slot.name].link if slot.name in saved else None)
            for slot in definition.inputs
        ]
        node.outputs = [Slot(slot.name, slot.type) for slot in definition.outputs]


def _bare(graph: PageGraph) -> LiveGraph:
    """Begin a graph with its links and ends; its nodes follow."""
    return LiveGraph(
        graph.id,
        graph,
        links=dict(graph.links),
        inputs=[Slot(slot.name, slot.type, links=slot.links) for slot in graph.inputs],
        outputs=[Slot(slot.name, slot.type, links=slot.links) for slot in graph.outputs],
    )
