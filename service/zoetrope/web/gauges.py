"""Every figure of the running service as a Prometheus metric, read at the moment it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..gpu.card import REASONS, Reading
from ..gpu.tuner import Tuner
from ..gpu.usage import STOCK
from .parts import Parts

MEGAHERTZ = 1_000_000

# Base units, as Prometheus wants them.
READINGS: tuple[tuple[str, str, Callable[[Reading], float | None]], ...] = (
    ("core_clock_hertz", "Core clock now.", lambda r: _times(r.core_mhz, MEGAHERTZ)),
    ("memory_clock_hertz", "Memory clock now.", lambda r: _times(r.memory_mhz, MEGAHERTZ)),
    ("power_watts", "Power drawn now.", lambda r: r.power_watts),
    ("power_limit_watts", "Power limit in force.", lambda r: r.limit_watts),
    ("temperature_celsius", "Temperature of the chip.", lambda r: r.celsius),
    ("memory_used_bytes", "Memory in use.", lambda r: r.vram_used),
    ("memory_bytes", "Memory of the card.", lambda r: r.vram_total),
    ("utilization_ratio", "Share of time in which it worked.", lambda r: _times(r.utilisation, 0.01)),
)  # fmt: skip


class Gauges(Collector):
    """Collects from the parts that are there."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> tuple[bytes, str]:
        """Give all of it, and the content type that says which format it is."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterable[Metric]:
        """Give every family that has something to tell."""
        if (tuner := self._parts.tuner) is not None and tuner.watch.cards:
            yield from _gpu(tuner)


def _gpu(tuner: Tuner) -> Iterator[Metric]:
    labels = ("uuid", "card")
    cards = [(card, tuner.watch.latest.get(card.uuid)) for card in tuner.watch.cards]
    for name, about, value in READINGS:
        family = GaugeMetricFamily(f"zoetrope_gpu_{name}", about, labels=labels)
        for card, reading in cards:
            if reading is not None and (found := value(reading)) is not None:
                family.add_metric((card.uuid, card.short), found)
        yield family
    energy = CounterMetricFamily(
        "zoetrope_gpu_energy_joules", "Energy drawn since the driver was loaded.", labels=labels
    )
    limited = GaugeMetricFamily(
        "zoetrope_gpu_limited", "1 for each reason that slows the card.", labels=(*labels, "reason")
    )
    lost = GaugeMetricFamily(
        "zoetrope_gpu_lost", "1 while the card does not answer.", labels=labels
    )
    profile = GaugeMetricFamily(
        "zoetrope_gpu_profile_info",
        "1 for the profile in force and how far it is trusted.",
        labels=(*labels, "profile", "trust"),
    )
    for card, reading in cards:
        key = (card.uuid, card.short)
        lost.add_metric(key, float(card.uuid in tuner.watch.lost))
        if reading is not None and reading.energy_mj is not None:
            energy.add_metric(key, reading.energy_mj / 1000)
        if reading is not None and reading.reasons is not None:
            for reason in REASONS.values():
                limited.add_metric((*key, reason), float(reason in reading.reasons))
        state = tuner.states.get(card.uuid)
        known = state.profile(state.in_force) if state is not None else None
        name = known.name if known is not None else STOCK
        trust = str(known.record.trust) if known is not None else ""
        profile.add_metric((*key, name, trust), 1.0)
    yield from (energy, limited, lost, profile)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
