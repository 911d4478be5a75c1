"""A graph as rules read it: values and links, followed through constants, formulas and switches."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from ..graphs.catalog import Catalog
from ..graphs.document import Link, link_of, unwrapped
from ..graphs.graph import Node
from .classes import CONSTANTS, SWITCHES
from .effort import Effort
from .expression import evaluate

Scalar = str | int | float | bool

#: Longer ways through constants and switches are not followed.
_DEEPEST = 64
#: Larger numbers than any input takes.
_LARGEST = 2**70


class GraphView:
    """One graph with the signatures of its nodes."""

    def __init__(
        self, nodes: Mapping[str, Node], catalog: Catalog, effort: Effort | None = None
    ) -> None:
        self.nodes = nodes
        self.catalog = catalog
        self.effort = effort or Effort()
        # Every output is worked out once, so that formulas upon formulas cost no more than their number;
        # what is being worked out counts as unknown, so that a circle has an end.
        self._outputs: dict[Link, Scalar | None] = {}
        self._links: dict[str, tuple[tuple[str, Link], ...]] = {}
        self._sources: dict[Link, Link | None] = {}
        self._by_class: dict[str, list[str]] = defaultdict(list)
        for node_id, node in nodes.items():
            self._by_class[node.class_type].append(node_id)

    def of(self, *class_types: str) -> Iterator[str]:
        """List the nodes of these classes."""
        for class_type in class_types:
            yield from self._by_class.get(class_type, ())

    def class_of(self, node_id: str) -> str:
        """Name a node's class."""
        return self.nodes[node_id].class_type

    def raw(self, node_id: str, name: str) -> object:
        """Give an input as it is written; None if it is not there."""
        return self.nodes[node_id].inputs.get(name)

    def linked(self, node_id: str, name: str) -> bool:
        """Say whether an input has a link to a node that exists."""
        link = link_of(self.raw(node_id, name))
        return link is not None and link.node in self.nodes

    def dangles(self, node_id: str, name: str) -> bool:
        """Say whether an input has no value at all, or a link to a node that does not exist."""
        raw = self.raw(node_id, name)
        link = link_of(raw)
        return raw is None if link is None else link.node not in self.nodes

    def links(self, node_id: str) -> tuple[tuple[str, Link], ...]:
        """List a node's inputs that have a link to a node that exists."""
        self.effort.look()
        if node_id not in self._links:
            self._links[node_id] = tuple(
                (name, link)
                for name, value in self.nodes[node_id].inputs.items()
                if isinstance(value, list)
                and (link := link_of(value)) is not None
                and link.node in self.nodes
            )
        return self._links[node_id]

    def source(self, node_id: str, name: str) -> Link | None:
        """Find the output that really feeds an input, behind switches; None if no one can tell."""
        self.effort.look()
        return self._behind(link_of(self.raw(node_id, name)), 0)

    def value(self, node_id: str, name: str) -> Scalar | None:
        """Give an input's value, behind links and switches, or its default; None if unknown."""
        self.effort.look()
        return self._value(node_id, name, 0)

    def number(self, node_id: str, name: str) -> int | float | None:
        """Give an input's value as a number."""
        return as_number(self.value(node_id, name))

    def whole(self, node_id: str, name: str) -> int | None:
        """Give an input's value as a whole number, cut as the server does."""
        found = self.number(node_id, name)
        return None if found is None else int(found)

    def text(self, node_id: str, name: str) -> str | None:
        """Give an input's value if it is a text."""
        found = self.value(node_id, name)
        return found if isinstance(found, str) else None

    def flag(self, node_id: str, name: str) -> bool | None:
        """Give an input's value as true or false; words such as `enable` count as well."""
        found = self.value(node_id, name)
        if isinstance(found, str):
            return {"enable": True, "disable": False, "true": True, "false": False}.get(found)
        return None if found is None else bool(found)

    def _value(self, node_id: str, name: str, depth: int) -> Scalar | None:
        inputs = self.nodes[node_id].inputs
        if name not in inputs:
            return self._default(node_id, name)
        raw = inputs[name]
        if not isinstance(raw, list):
            plain = unwrapped(raw)
            return plain if isinstance(plain, str | int | float) else None
        link = self._behind(link_of(raw), depth)
        return None if link is None else self._output(link, depth + 1)

    def _default(self, node_id: str, name: str) -> Scalar | None:
        signature = self.catalog.get(self.class_of(node_id))
        item = signature.inputs.get(name) if signature else None
        if item is None or not isinstance(item.default, str | int | float):
            return None
        return item.default

    def _output(self, link: Link, depth: int) -> Scalar | None:
        if link not in self._outputs:
            self._outputs[link] = None
            class_type = self.class_of(link.node)
            if name := CONSTANTS.get(class_type):
                self._outputs[link] = self._value(link.node, name, depth)
            elif class_type == "ComfyMathExpression":
                self._outputs[link] = self._formula(link, depth)
        return self._outputs[link]

    def _formula(self, link: Link, depth: int) -> Scalar | None:
        formula = self._value(link.node, "expression", depth)
        if not isinstance(formula, str):
            return None
        names: dict[str, int | float] = {}
        for key in self.nodes[link.node].inputs:
            group, _, name = key.partition(".")
            if group == "values" and name in formula:
                found = as_number(self._value(link.node, key, depth))
                if found is None:
                    return None
                names[name] = found
        result = evaluate(formula, names)
        if result is None:
            return None
        return int(result) if link.slot == 1 else bool(result) if link.slot == 2 else float(result)

    def _behind(self, link: Link | None, depth: int) -> Link | None:
        if link is None or link.node not in self.nodes or depth >= _DEEPEST:
            return None
        if self.class_of(link.node) not in SWITCHES:
            return link
        if link not in self._sources:
            self._sources[link] = None
            switch = self._value(link.node, "switch", depth + 1)
            if isinstance(switch, bool | int | float):
                chosen = link_of(self.raw(link.node, "on_true" if switch else "on_false"))
                self._sources[link] = self._behind(chosen, depth + 1)
        return self._sources[link]


def as_number(value: object) -> int | float | None:
    """Read a number the way the server converts an input; None if it is none or is absurd."""
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            return None
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if abs(value) <= _LARGEST else None
