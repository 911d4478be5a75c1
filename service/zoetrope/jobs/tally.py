"""What has happened since the process started, counted without the library that will write it out."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator

from ..domain.job import Job
from .job_metrics import FallbackUsed, JobRejected, StageDone, VideoDone, measured

# From a second on the simulated engine to an upscale of hours; from a short clip on a small GPU to a long one.
STAGE_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0)
VIDEO_JOULES = (1e3, 3e3, 1e4, 3e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7)


class Histogram:
    """How often values fell between bounds, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.sum = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Take one value into account; a value on a bound belongs below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Give each bound with the number of values up to it; the last bound is infinite."""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            yield bound, total


class Tally:
    """Counts what happens to jobs; it outlives a reload of the settings."""

    def __init__(self) -> None:
        self.stages: defaultdict[tuple[str, str], Histogram] = defaultdict(
            lambda: Histogram(STAGE_SECONDS)
        )
        self.videos: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(VIDEO_JOULES))
        self.fallbacks: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def see(self, before: Job | None, after: Job) -> None:
        """Count what a step with a job means; made to be given to `ledger.on_change`."""
        for each in measured(before, after):
            match each:
                case StageDone():
                    self.stages[each.recipe, each.stage].observe(each.seconds)
                case FallbackUsed():
                    self.fallbacks[each.fallback] += 1
                case VideoDone(joules=float() as joules):
                    self.videos[each.recipe].observe(joules)
                case JobRejected():
                    self.refusals[each.key] += 1
