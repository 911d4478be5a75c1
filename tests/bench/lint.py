"""The linter's figures: one graph as people run it, and many."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from tests.bench.table import Figure
from zoetrope.graphs.graph import decode
from zoetrope.graphs.shelf import shipped
from zoetrope.lint.engine import lint
from zoetrope.lint.facts import pinned_context

NODES = 40


def all_rules(rounds: int = 1000) -> Iterator[Figure]:
    """All rules over a graph of forty nodes: the hero with a second one beside it."""
    hero = decode((shipped() / "wan22-i2v-hero" / "workflow.json").read_bytes(), "hero")
    twice = {**hero, **{f"{name}-2": node for name, node in hero.items()}}
    graph = dict(list(twice.items())[:NODES])
    context = pinned_context()
    lint(graph, context)
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        lint(graph, context)
        times.append(time.perf_counter() - begun)
    yield Figure(f"lint {NODES} nodes, median", 1000 * statistics.median(times), "ms", 5)
    yield Figure(f"lint {rounds} graphs", sum(times), "s", 5)
