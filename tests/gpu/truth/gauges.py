"""Watches a GPU and the host's memory while something runs: the most and the least that were seen."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

GIB = 2**30
EVERY = 0.05


class Gauges:
    """Samples in a thread of its own, twenty times a second, from `with` to its end."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid = pid
        self.found: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._card = _card()

    def __enter__(self) -> Gauges:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def rows(self) -> dict[str, float | None]:
        """Give the readings, in GiB, watts, MHz and degrees."""
        keys = (
            "vram_peak",
            "vram_before",
            "host_taken",
            "rss_peak",
            "watts",
            "core_mhz",
            "celsius",
        )
        return {key: _round(self.found.get(key)) for key in keys}

    def _watch(self) -> None:
        free = available()
        watts: list[float] = []
        clocks: list[float] = []
        while True:
            now = read(self._card)
            if "vram" in now:
                self.found.setdefault("vram_before", now["vram"])
                self._most("vram_peak", now["vram"])
                self._most("celsius", now["celsius"])
                watts.append(now["watts"])
                clocks.append(now["core_mhz"])
                # Of the half of the time in which it works hardest: loading and saving are not the GPU's.
                busy = sorted(zip(watts, clocks, strict=True))[len(watts) // 2 :]
                self.found["watts"] = sum(w for w, _ in busy) / len(busy)
                self.found["core_mhz"] = sum(c for _, c in busy) / len(busy)
            self._most("host_taken", (free - available()) / GIB)
            if self.pid:
                self._most("rss_peak", peak_rss(self.pid) / GIB)
            if self._stop.wait(EVERY):
                return

    def _most(self, key: str, value: float) -> None:
        self.found[key] = max(value, self.found.get(key, value))


def available() -> int:
    """Give the bytes that the host could hand out, the cache of files among them."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def peak_rss(pid: int) -> int:
    """Give the most bytes that a process ever held."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(w.split()[1]) * 1024 for w in text.splitlines() if w.startswith("VmHWM:")), 0)


def read(card: Any) -> dict[str, float]:
    """Read a GPU once; nothing of it is changed."""
    if card is None:
        return {}
    import pynvml

    return {
        "vram": pynvml.nvmlDeviceGetMemoryInfo(card).used / GIB,
        "watts": pynvml.nvmlDeviceGetPowerUsage(card) / 1000,
        "core_mhz": float(pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_GRAPHICS)),
        "celsius": float(pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)),
    }


def _card() -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:
        return None


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
