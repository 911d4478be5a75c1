"""The linter's figures: one graph as people run it, and many."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.table import Figure, percentile
from zoetrope.graphs.document import decode
from zoetrope.graphs.shelf import shipped
from zoetrope.lint.facts import pinned_context
from zoetrope.lint.linter import lint

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
    note = f"median {1000 * statistics.median(times):.2f} ms"
    yield Figure(f"lint {NODES} nodes, p99", 1000 * percentile(times, 0.99), "ms", 5, note=note)
    yield Figure(f"lint {rounds} graphs", sum(times), "s", 5)
    command = str(Path(sys.executable).with_name("zoetrope"))
    file = str(shipped() / "wan22-i2v-hero" / "workflow.json")
    whole = []
    for _ in range(10):
        begun = time.perf_counter()
        subprocess.run([command, "lint", file], stdout=subprocess.DEVNULL, check=True)
        whole.append(1000 * (time.perf_counter() - begun))
    yield Figure("zoetrope lint FILE, median", statistics.median(whole), "ms", 300)
