"""Mends what has one mechanical answer: a graph goes in, a better graph comes out."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from ..graphs.graph import Graph, Node
from .engine import lint
from .facts import Context
from .findings import Change, Drop, Finding, Put, Swap

# One change may bring another finding to light; more rounds than this would be a quarrel of two rules.
_ROUNDS = 4


class Mended(msgspec.Struct, frozen=True):
    """A graph after its mending, and the findings that were mended."""

    graph: Graph
    findings: tuple[Finding, ...]


def mend(graph: Graph, context: Context, rules: Collection[str] | None = None) -> Mended:
    """Apply the changes of all findings that have some, or of those of the rules that are named."""
    done: list[Finding] = []
    for _ in range(_ROUNDS):
        waiting = [
            finding
            for finding in lint(graph, context)
            if finding.changes and (rules is None or finding.rule in rules)
        ]
        if not waiting:
            break
        touched: set[tuple[str, str]] = set()
        for finding in waiting:
            # The worst is mended first; what it has changed is looked at anew in the next round.
            places = {place for change in finding.changes for place in _places(change)}
            if not places & touched:
                touched |= places
                for change in finding.changes:
                    graph = apply(graph, change)
                done.append(finding)
    return Mended(graph, tuple(done))


def apply(graph: Graph, change: Change) -> Graph:
    """Make one change; a node that is not there is left alone."""
    node = graph.get(change.node)
    if node is None:
        return graph
    inputs = dict(node.inputs)
    class_type = node.class_type
    match change:
        case Put(input=name, value=value):
            inputs[name] = value
        case Drop(input=name):
            inputs.pop(name, None)
        case Swap(class_type=class_type, inputs=inputs):
            pass
    return {**graph, change.node: Node(class_type=class_type, inputs=inputs, meta=node.meta)}


def _places(change: Change) -> tuple[tuple[str, str], ...]:
    """Name what a change touches: an input, or with a new class all of a node."""
    if isinstance(change, Swap):
        return tuple((change.node, name) for name in ("", *change.inputs))
    return ((change.node, change.input),)
