"""The pipeline's figures: overhead, idle gap, burst."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import statistics
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import pictures
from tests.bench.process import PeakMemory, wait_until
from tests.bench.table import Figure, percentile
from tests.fakes.service import EngineProcess, ServiceProcess, free_port


def submit_overhead(root: Path, count: int = 150) -> Iterator[Figure]:
    """File accepted to POST /prompt on an idle service, without the grace and minus the decode."""
    png = pictures.draw()
    decode = pictures.median_decode(png)
    engine = EngineProcess(root / "engine")
    service = ServiceProcess(root, engine.url)
    engine.start()
    service.start()
    times = []
    try:
        for number in range(count):
            staged = root / "staged.png"
            staged.write_bytes(pictures.variant(png, number))
            (service.inbox / f"p{number}.txt").write_text("Beat 1 (0-2s): a slow zoom.")
            staged.rename(service.inbox / f"p{number}.png")
            wait_until(lambda n=number: len(service.done()) > n, 60)
            receipt = json.loads((service.done_named(f"p{number}") / "receipt.json").read_text())
            prompt = receipt["stages"][0]["attempts"][0]["prompt_id"]
            history = _history(engine.url, prompt)
            posted = history["prompt"][3]["create_time"] / 1000
            times.append(posted - receipt["created"] - decode)
    finally:
        service.stop()
        engine.stop()
    note = f"decode of {1000 * decode:.1f} ms taken off; {count} pictures"
    yield Figure("submit overhead p50", 1000 * statistics.median(times), "ms", note=note)
    yield Figure("submit overhead p99", 1000 * percentile(times, 0.99), "ms", 50)


def idle_gap(root: Path, count: int = 50, step: float = 0.025) -> Iterator[Figure]:
    """From one prompt's end to the next one's start at the engine, with jobs waiting."""
    engine = EngineProcess(root / "engine", "--step-seconds", str(step))
    service = ServiceProcess(root, engine.url)
    service.start()
    try:
        png = pictures.draw()
        for number in range(count):
            staged = root / "staged.png"
            staged.write_bytes(pictures.variant(png, number))
            staged.rename(service.inbox / f"p{number}.png")
        wait_until(lambda: _count(service, "queued") == count, 120)
        engine.start()
        wait_until(lambda: len(service.done()) == count, 300)
        spans = []
        with urllib.request.urlopen(f"{engine.url}/history", timeout=30) as answer:
            for entry in json.load(answer).values():
                stamps = {kind: data["timestamp"] for kind, data in entry["status"]["messages"]}
                prefix = entry["prompt"][2]["save"]["inputs"]["filename_prefix"]
                first = "-i2v-" in prefix
                spans.append((stamps["execution_start"], stamps["execution_success"], first))
    finally:
        service.stop()
        engine.stop()
    spans.sort()
    # Once the last first stage has begun, nothing waits any more but what waits for its own check.
    waiting_until = max(begin for begin, _, first in spans if first)
    gaps = [
        after[0] - before[1]
        for before, after in itertools.pairwise(spans)
        if after[0] <= waiting_until
    ]
    busy = sum(end - begin for begin, end, _ in spans)
    total = spans[-1][1] - spans[0][0]
    note = f"{len(spans)} prompts of {statistics.median(e - b for b, e, _ in spans):.0f} ms"
    yield Figure("engine idle gap median", statistics.median(gaps), "ms", 10, note=note)
    yield Figure("engine idle gap p99", percentile(gaps, 0.99), "ms")
    yield Figure("makespan / engine busy", total / busy, "x", note="at the engine")


def burst(root: Path, count: int = 5000) -> Iterator[Figure]:
    """Pictures dropped at once against a loop that only decodes; no engine runs beside."""
    png = pictures.draw()
    staged = root / "staged"
    staged.mkdir(parents=True)
    for number in range(count):
        (staged / f"p{number:05}.png").write_bytes(pictures.variant(png, number))
    sample = sorted(staged.iterdir())[:200]
    alone = len(sample) / sum(pictures.decode_seconds(sample))
    service = ServiceProcess(root, f"http://127.0.0.1:{free_port()}")
    service.start()
    assert service.process is not None
    try:
        with PeakMemory(service.process.pid) as memory:
            begun = time.perf_counter()
            for file in sorted(staged.iterdir()):
                file.rename(service.inbox / file.name)
            wait_until(lambda: _count(service, "queued") >= count, 1800, 0.1)
            seconds = time.perf_counter() - begun
    finally:
        service.stop()
    with sqlite3.connect(service.state / "ledger.db") as db:
        rows = db.execute("SELECT count(*), count(DISTINCT stem) FROM jobs").fetchone()
    db.close()
    lost = count - rows[1] + (rows[0] - rows[1])
    shutil.rmtree(service.state / "work")
    rate = count / seconds
    note = f"{rate:.1f}/s against {alone:.1f}/s decoded alone; {len(png) / 1e6:.1f} MB each"
    yield Figure("burst: accepted / decoded alone", rate / alone, "x", 0.7, False, note)
    yield Figure("burst: peak memory", memory.peak, "MB", 300)
    yield Figure("burst: lost or doubled", lost, "", 0, note=f"of {count}")


def _history(url: str, prompt: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/history/{prompt}", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)[prompt]
        return found


def _count(service: ServiceProcess, state: str) -> int:
    with sqlite3.connect(f"file:{service.state / 'ledger.db'}?mode=ro", uri=True) as db:
        row = db.execute("SELECT sum(jobs) FROM tally WHERE state = ?", (state,)).fetchone()
    db.close()
    return int(row[0] or 0)
