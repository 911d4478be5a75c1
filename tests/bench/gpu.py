"""The figures of cards: a glance at eight, the helper's answers, and what watching one costs."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.table import Figure, percentile
from tests.fakes.nvml.simulated import Simulated, uid
from zoetrope.gpu import wire
from zoetrope.gpu.client import HelperClient

SIMULATED = "simulated cards"
SETTINGS = """
[gpu]
working = ["baseline"]
[gpu.profiles.baseline]
max_core_mhz = 2700
core_offset_mhz = 300
power_limit_w = 450
"""
WATCHING = """
import asyncio, time
from zoetrope.gpu.watch import Watch

async def main():
    watch = Watch()
    task = asyncio.create_task(watch.run())
    await watch.looked.wait()
    watch.begin(watch.cards[0])
    await asyncio.sleep(1)
    before = time.process_time()
    begun = time.monotonic()
    await asyncio.sleep({seconds})
    print((time.process_time() - before) / (time.monotonic() - begun))
    task.cancel()

asyncio.run(main())
"""


def glance(root: Path, count: int = 200) -> Iterator[Figure]:
    """Read eight cards wholly: what they are, how they are, and who uses them."""
    from zoetrope.gpu.device import Nvml

    simulated = Simulated(root / "host", *["RTX 5090"] * 8)
    with simulated.here():
        nvml = Nvml()
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            for card in nvml.cards():
                nvml.read(card.uuid)
                nvml.users(card.uuid)
            times.append(1000 * (time.perf_counter() - begun))
        nvml.close()
    note = f"median {statistics.median(times):.2f} ms, {SIMULATED}"
    yield Figure("status of 8 cards, p99", percentile(times, 0.99), "ms", 20, note=note)


def helper(root: Path, count: int = 1000) -> Iterator[Figure]:
    """Ask the helper, which is a process of its own, how the cards stand; and have one tuned and put back."""
    simulated = Simulated(root / "host", "RTX 5090")
    config, socket = root / "zoetrope.toml", root / "gpu.sock"
    config.write_text(SETTINGS)
    config.chmod(0o644)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "zoetrope", "gpu-helper", "--group", ""),
            *("--config", str(config), "--state", str(root / "state"), "--socket", str(socket)),
        ],
        env={**os.environ, **simulated.environ},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not socket.exists():
            assert process.poll() is None
            time.sleep(0.01)

        async def measure() -> tuple[list[float], list[float]]:
            client = HelperClient(socket)
            asked, changed = [], []
            for number in range(count):
                begun = time.perf_counter()
                await client.ask(wire.StatusRequest())
                asked.append(1000 * (time.perf_counter() - begun))
                if number % 10 == 0:
                    question = wire.Work if number % 20 == 0 else wire.Rest
                    begun = time.perf_counter()
                    await client.ask(question(card=uid(0)))
                    changed.append(1000 * (time.perf_counter() - begun))
            client.close()
            return asked, changed

        asked, changed = asyncio.run(measure())
    finally:
        process.terminate()
        process.wait()
    note = f"median {statistics.median(asked):.2f} ms, {SIMULATED}"
    yield Figure("helper round trip, p99", percentile(asked, 0.99), "ms", 10, note=note)
    note = (
        f"median {statistics.median(changed):.1f} ms: three knobs, and a book that is on the disk"
    )
    yield Figure("helper changes a card, p99", percentile(changed, 0.99), "ms", note=note)


def sampling(root: Path, seconds: float = 30) -> Iterator[Figure]:
    """Processor time of watching a card that works, once a second."""
    simulated = Simulated(root / "host", "RTX 5090")
    done = subprocess.run(
        [sys.executable, "-c", WATCHING.format(seconds=seconds)],
        env={**os.environ, **simulated.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    note = f"over {seconds:g} s, {SIMULATED}: a real driver's own time comes on top"
    yield Figure("sampling a card once a second", 100 * float(done.stdout), "%", 0.2, note=note)
