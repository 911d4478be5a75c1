"""`make bench`: measure, print the table, write build/bench.json."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from tests.bench import engine, gpu, host, lint, page, pipeline, web
from tests.bench.table import Figure, render

OUT = Path(__file__).parents[2] / "build" / "bench.json"


def main() -> None:
    """Run the measurements that were asked for; all by default."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="*",
        help="overhead gap burst makespan engine verify demo ledger answers upload readers paint help lint cards"
        " helper sampling idle",
    )
    parser.add_argument("--burst", type=int, default=5000, help="pictures of the burst")
    parser.add_argument("--idle", type=float, default=60, help="seconds of idleness")
    asked = parser.parse_args()
    benches: dict[str, Callable[[Path], Iterator[Figure]]] = {
        "overhead": pipeline.submit_overhead,
        "gap": pipeline.idle_gap,
        "burst": partial(pipeline.burst, count=asked.burst),
        "makespan": engine.makespan,
        "engine": engine.fps,
        "verify": engine.verification,
        "demo": engine.demo,
        "ledger": host.ledger,
        "answers": web.answers,
        "upload": web.upload,
        "readers": web.readers,
        "paint": page.paint,
        "help": lambda _: host.help_time(),
        "lint": lambda _: lint.all_rules(),
        "cards": gpu.glance,
        "helper": gpu.helper,
        "sampling": gpu.sampling,
        "idle": partial(host.idle, seconds=asked.idle),
    }
    figures: list[Figure] = []
    for name in asked.only or benches:
        root = Path(tempfile.mkdtemp(prefix=f"zoetrope-bench-{name}-"))
        print(f"measuring {name} ...", flush=True)
        try:
            figures += benches[name](root)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    print(f"\n{render(figures)}")
    OUT.parent.mkdir(exist_ok=True)
    report = {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "figures": figures,
    }
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    print(f"\nwritten to {OUT}")


if __name__ == "__main__":
    main()
