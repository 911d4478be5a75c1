"""Many jobs through one service process: memory, descriptors and the log grow with none of them."""

from __future__ import annotations

import gc
import os
import signal
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.endurance.part import Part
from tests.endurance.world import World
from zoetrope.domain.job import ENDED

JOBS = 2000
BATCH = 20
WARM = 200  # jobs before anything is compared
ENOUGH = 200  # jobs after that, or the slope is mostly noise
KB = 1024.0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What the process held after so many jobs."""

    jobs: int
    memory: int  # bytes that Python objects take
    files: int  # open descriptors
    log: int  # bytes


def soak(part: Part) -> None:
    """Push jobs through in batches, and look at the process after each."""
    world = World(part)
    seen = world.service.root / "seen.json"
    samples: list[Sample] = []
    try:
        world.engine.start()
        world.service.start(prepare=lambda: watch_memory(seen))
        done = 0
        while part.left() and done < JOBS:
            stems = {world.drop() for _ in range(BATCH)}
            _wait(part, world, stems)
            done += BATCH
            samples.append(_sample(world, seen, done))
            part.counts["jobs"] = done
            part.tick()
        world.settle()
    finally:
        world.close()
    part.counts["processes that did 2,000 jobs"] = int(done >= JOBS)
    after = [sample for sample in samples if sample.jobs >= WARM]
    if not after or after[-1].jobs - after[0].jobs < ENOUGH:
        part.say(f"{done} jobs are too few for a slope: it needs {WARM + ENOUGH}")
        return
    first, last = after[0], after[-1]
    jobs = last.jobs - first.jobs
    slope = slope_of([(each.jobs, each.memory) for each in after]) / KB
    part.measure("memory for each job", slope, "KB", limit=1.0)
    part.measure("log for each job", (last.log - first.log) / jobs / KB, "KB", limit=1.0)
    more = max(each.files for each in after[len(after) // 2 :]) - first.files
    part.measure("descriptors more than at the beginning", more, "", limit=3)


def slope_of(points: Sequence[tuple[float, float]]) -> float:
    """Give the slope of the line that lies closest to all points."""
    count = len(points)
    x_mean = sum(x for x, _ in points) / count
    y_mean = sum(y for _, y in points) / count
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / spread if spread else 0.0


def watch_memory(seen: Path) -> None:
    """In the service's process: count what Python objects take, and write it down when asked."""
    tracemalloc.start(1)

    def write(*_: object) -> None:
        gc.collect()
        files = len(list(Path("/proc/self/fd").iterdir())) - 1
        part = seen.with_suffix(".part")
        part.write_bytes(
            msgspec.json.encode({"memory": tracemalloc.get_traced_memory()[0], "files": files})
        )
        part.rename(seen)

    signal.signal(signal.SIGUSR1, write)


def _sample(world: World, seen: Path, jobs: int) -> Sample:
    time.sleep(0.5)  # what was under way at the end of the batch is over
    seen.unlink(missing_ok=True)
    process = world.service.process
    assert process is not None
    os.kill(process.pid, signal.SIGUSR1)
    deadline = time.monotonic() + 30
    while not seen.exists():
        world.part.promise(time.monotonic() < deadline, "the process does not answer a signal")
        time.sleep(0.02)
    told = msgspec.json.decode(seen.read_bytes())
    return Sample(jobs=jobs, log=world.service.log.stat().st_size, **told)


def _wait(part: Part, world: World, stems: set[str]) -> None:
    deadline = time.monotonic() + 300
    while True:
        ended = {job.stem for job in world.jobs() if job.state in ENDED}
        if stems <= ended:
            return
        part.promise(time.monotonic() < deadline, f"not done: {stems - ended}")
        time.sleep(0.2)
