"""Mends what has one mechanical answer: a graph goes in, a better graph comes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import msgspec

from ..graphs.graph import Graph, Node
from .facts import LintContext
from .findings import Change, DropInput, Finding, Put, SwapNode
from .linter import lint

# One change may bring another finding to light; more rounds than this would be a quarrel of two rules.
_ROUNDS = 8

#: Stands for every input of a node.
_ALL = "*"


class Fixed(msgspec.Struct, frozen=True):
    """A graph after its changes, and the findings that they fixed."""

    graph: Graph
    findings: tuple[Finding, ...]


def fixed(graph: Graph, context: LintContext, rules: Collection[str] | None = None) -> Fixed:
    """Apply the changes of all findings that have some, or of those of the rules that are named."""
    better = dict(graph)
    done: list[Finding] = []
    for _ in range(_ROUNDS):
        waiting = [
            finding
            for finding in lint(better, context)
            if finding.changes and (rules is None or finding.rule in rules)
        ]
        if not waiting:
            break
        touched: dict[str, set[str]] = defaultdict(set)
        for finding in waiting:
            # The worst is fixed first; what it has changed is looked at again in the next round.
            if any(_clashes(change, touched) for change in finding.changes):
                continue
            for change in finding.changes:
                touched[change.node].add(_ALL if isinstance(change, SwapNode) else change.input)
                better[change.node] = changed(better[change.node], change)
            done.append(finding)
    return Fixed(better, tuple(done))


def changed(node: Node, change: Change) -> Node:
    """Make one change to a node."""
    inputs = dict(node.inputs)
    match change:
        case Put(input=name, value=value):
            inputs[name] = value
        case DropInput(input=name):
            inputs.pop(name, None)
        case SwapNode(class_type=class_type):
            return Node(class_type=class_type, inputs=dict(change.inputs), meta=node.meta)
    return Node(class_type=node.class_type, inputs=inputs, meta=node.meta)


def _clashes(change: Change, touched: Mapping[str, set[str]]) -> bool:
    """Say whether a change was found on a node that is no longer as it was."""
    before = touched.get(change.node, set())
    return bool(before) if isinstance(change, SwapNode) else bool({_ALL, change.input} & before)
