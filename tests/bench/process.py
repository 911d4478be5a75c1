"""What the kernel says of our processes: memory without double counting, and processor time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """List a process and all below it."""
    found = [pid]
    for number in found:
        try:
            for task in Path(f"/proc/{number}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def memory_megabytes(pid: int) -> float:
    """Add up the proportional set sizes of a family: shared pages count once."""
    return sum(own_megabytes(number) for number in family(pid))


def own_megabytes(pid: int) -> float:
    """Give the proportional set size of one process; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def processor_seconds(pid: int) -> float:
    """Add up user and system time of a family."""
    total = 0.0
    for number in family(pid):
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


class PeakMemory:
    """Samples memory, by default a family's, on a thread of its own, while the context lasts."""

    def __init__(
        self,
        pid: int,
        every: float = 0.2,
        measure: Callable[[int], float] = memory_megabytes,
    ) -> None:
        self._pid = pid
        self._every = every
        self._measure = measure
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak = 0.0

    def _sample(self) -> None:
        while not self._end.wait(self._every):
            self.peak = max(self.peak, self._measure(self._pid))

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def wait_until(condition: object, timeout: float, pause: float = 0.02) -> None:
    """Wait until a callable says yes."""
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the measured thing did not happen")
        time.sleep(pause)
