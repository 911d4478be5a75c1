"""Every figure of the running service as a Prometheus metric, read at the moment it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..domain.job import Job, State
from ..domain.usage import STOCK
from ..errors import ZoetropeError
from ..gpu.card import REASONS, Sample
from ..gpu.probation import Trust
from ..gpu.tuner import Tuner
from ..jobs.tally import Histogram, Tally
from ..jobs.worker import WorkerStatus
from ..runtime import Runtime

MEGAHERTZ = 1_000_000
LEDGER_SECONDS = 3.0  # that the ledger may take; a scrape is given up after ten
OTHER = "other"  # stands for recipes that are not on the shelf: a ticket may say any name

# Base units, as Prometheus wants them.
READINGS: tuple[tuple[str, str, Callable[[Sample], float | None]], ...] = (
    ("core_clock_hertz", "Core clock now.", lambda r: _times(r.core_mhz, MEGAHERTZ)),
    ("memory_clock_hertz", "Memory clock now.", lambda r: _times(r.memory_mhz, MEGAHERTZ)),
    ("power_watts", "Power in use now.", lambda r: r.power_watts),
    ("power_limit_watts", "Power limit in force.", lambda r: r.limit_watts),
    ("temperature_celsius", "Temperature of the chip.", lambda r: r.celsius),
    ("memory_used_bytes", "Memory in use.", lambda r: r.vram_used),
    ("memory_bytes", "Memory of the GPU.", lambda r: r.vram_total),
    ("utilization_ratio", "Share of time in which it worked.", lambda r: _times(r.utilisation, 0.01)),
)  # fmt: skip


class Gauges:
    """Collects from the parts that are there."""

    def __init__(self, runtime: Runtime, *, now: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._now = now

    async def text(self) -> tuple[bytes, str]:
        """Give all of it, and the content type that says which format it is."""
        runtime = self._runtime
        workers = runtime.conductor.status().workers if runtime.conductor is not None else ()
        families = [*counted(runtime.tally), *engines(workers), standstill(runtime)]
        # A ledger that does not answer is the health's matter; the other figures do not wait for it.
        with contextlib.suppress(ZoetropeError, TimeoutError):
            async with asyncio.timeout(LEDGER_SECONDS):
                families += await self._queue(workers)
        if (tuner := runtime.tuner) is not None and tuner.watch.cards:
            families += gpu(tuner)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(TakenFigures(families))
        return generate_latest(registry), CONTENT_TYPE_LATEST

    async def _queue(self, workers: Sequence[WorkerStatus]) -> list[Metric]:
        if (ledger := self._runtime.ledger) is None:
            return []
        shelf = self._runtime.recipes
        known = await asyncio.to_thread(shelf.names) if shelf is not None else ()
        in_hand = [job for worker in workers for job in worker.in_hand]
        first = await ledger.oldest(math.inf, without=in_hand)
        return [jobs(await ledger.tally(), known), oldest(first, self._now())]


class TakenFigures(Collector):
    """Figures that were taken a moment ago, because the library cannot wait for them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Give every family."""
        return self._families


def jobs(tally: Mapping[tuple[str, State], int], known: Collection[str]) -> Metric:
    """Give the number of jobs in each state, a line for every state of a recipe that has jobs."""
    found: dict[str, dict[State, int]] = {}
    for (recipe, state), number in tally.items():
        states = found.setdefault(recipe if recipe in known else OTHER, dict.fromkeys(State, 0))
        states[state] += number
    family = GaugeMetricFamily("zoetrope_jobs", "Jobs in each state.", labels=("recipe", "state"))
    for recipe, states in sorted(found.items()):
        for state, number in states.items():
            family.add_metric((recipe, str(state)), number)
    return family


def oldest(first: Job | None, now: float) -> Metric:
    """Give the age of the job that has waited longest for an engine, 0 while none waits."""
    age = max(0.0, now - waits_since(first)) if first is not None else 0.0
    return GaugeMetricFamily(
        "zoetrope_oldest_waiting_job_seconds",
        "How long the oldest job without an engine has waited; 0 while none waits.",
        value=age,
    )


def waits_since(job: Job) -> float:
    """Say from when a queued job waits; being looked at and held again does not begin the wait anew."""
    if job.reason is None:
        return job.updated
    ends = [attempt.ended or 0.0 for stage in job.stages for attempt in stage.attempts]
    return max([job.created, *ends])


def standstill(runtime: Runtime) -> Metric:
    """Say whether a user's pause or the working hours keep stages from starting."""
    status = runtime.conductor.status() if runtime.conductor is not None else None
    return GaugeMetricFamily(
        "zoetrope_stages_paused",
        "1 while a user's pause or the working hours keep stages from starting.",
        value=float(status is not None and status.standstill is not None),
    )


def engines(workers: Sequence[WorkerStatus]) -> Iterator[Metric]:
    """Say of each engine whether it answers, and how often its socket was opened again."""
    up = GaugeMetricFamily("zoetrope_engine_up", "1 while the engine answers.", labels=("engine",))
    reconnects = CounterMetricFamily(
        "zoetrope_engine_socket_reconnects",
        "Times that the engine's WebSocket was opened again.",
        labels=("engine",),
    )
    for worker in workers:
        up.add_metric((worker.name,), float(worker.up))
        reconnects.add_metric((worker.name,), worker.reconnects)
    yield from (up, reconnects)


def counted(tally: Tally) -> Iterator[Metric]:
    """Give what has happened since the process started."""
    seconds = HistogramMetricFamily(
        "zoetrope_stage_seconds",
        "Seconds from the engine's start on a stage until its checked files were here.",
        labels=("recipe", "stage"),
    )
    for (recipe, stage), histogram in sorted(tally.stages.items()):
        _add(seconds, (recipe, stage), histogram)
    energy = HistogramMetricFamily(
        "zoetrope_video_energy_joules",
        "Energy that the GPUs used for a finished video, failed attempts included.",
        labels=("recipe",),
    )
    for recipe, histogram in sorted(tally.videos.items()):
        _add(energy, (recipe,), histogram)
    fallbacks = CounterMetricFamily(
        "zoetrope_rungs_climbed",
        "Fallbacks that were added after an attempt failed, such as a smaller batch.",
        labels=("rung",),
    )
    for fallback, number in sorted(tally.fallbacks.items()):
        fallbacks.add_metric((fallback,), number)
    refusals = CounterMetricFamily(
        "zoetrope_rejections", "Jobs that were rejected, by the reason's key.", labels=("reason",)
    )
    for key, number in sorted(tally.refusals.items()):
        refusals.add_metric((key,), number)
    yield from (seconds, energy, fallbacks, refusals)


def gpu(tuner: Tuner) -> Iterator[Metric]:
    """Give what the GPUs of this host do, and under which profile."""
    labels = ("uuid", "card")
    cards = [(card, tuner.watch.latest.get(card.uuid)) for card in tuner.watch.cards]
    for name, about, value in READINGS:
        family = GaugeMetricFamily(f"zoetrope_gpu_{name}", about, labels=labels)
        for card, reading in cards:
            if reading is not None and (found := value(reading)) is not None:
                family.add_metric((card.uuid, card.short), found)
        yield family
    energy = CounterMetricFamily(
        "zoetrope_gpu_energy_joules", "Energy used since the driver was loaded.", labels=labels
    )
    limited = GaugeMetricFamily(
        "zoetrope_gpu_limited", "1 for each reason that slows the GPU.", labels=(*labels, "reason")
    )
    lost = GaugeMetricFamily("zoetrope_gpu_lost", "1 while the GPU does not answer.", labels=labels)
    profile = GaugeMetricFamily(
        "zoetrope_gpu_profile_info",
        "1 for the profile in force, with its state.",
        labels=(*labels, "profile", "trust"),
    )
    barred = GaugeMetricFamily(
        "zoetrope_gpu_profile_barred",
        "1 for a disabled profile; its GPU runs at stock.",
        labels=(*labels, "profile"),
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
        for each in state.profiles if state is not None else ():
            barred.add_metric((*key, each.name), float(each.record.trust is Trust.DISABLED))
    yield from (energy, limited, lost, profile, barred)


def _add(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    buckets = [
        (str(bound) if math.isfinite(bound) else "+Inf", float(count))
        for bound, count in histogram.buckets()
    ]
    family.add_metric(labels, buckets=buckets, sum_value=histogram.sum)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
