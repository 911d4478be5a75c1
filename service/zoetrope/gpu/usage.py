"""What a stage took of its GPU: energy, clock and heat, measured while it ran."""

from __future__ import annotations

from ..domain.usage import STOCK, Usage
from .card import Sample

JOULES_PER_WATT_HOUR = 3600.0
LEAST_SHARE = 0.05  # of a stage that makes a profile count


class _Mean:
    """A mean over time: each value counts for as long as it stood."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sum = 0.0
        self._last: tuple[float, float] | None = None

    def add(self, moment: float, value: float | None) -> None:
        if value is None:
            self._last = None
            return
        if self._last is not None:
            before, held = self._last
            self.seconds += moment - before
            self.sum += (moment - before) * (held + value) / 2
        self._last = (moment, value)

    @property
    def mean(self) -> float | None:
        if self.seconds > 0:
            return self.sum / self.seconds
        return self._last[1] if self._last is not None else None


class UsageMeter:
    """Adds a GPU's readings up from a stage's start to its end."""

    def __init__(self, card: str, name: str) -> None:
        self.card = card
        self._name = name
        self._watts = _Mean()
        self._core = _Mean()
        self._celsius = _Mean()
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._highest: int | None = None
        self._vram: int | None = None
        self._slowed: dict[str, None] = {}
        self._profiles: dict[str, float] = {}  # and the seconds under each

    def add(self, reading: Sample, profile: str) -> None:
        """Take one more reading, and under which profile it was; empty is stock."""
        if self._last is not None:
            seconds = reading.taken - self._last.taken
            self._profiles[profile or STOCK] = self._profiles.get(profile or STOCK, 0.0) + seconds
        self._first = self._first or reading
        self._last = reading
        self._watts.add(reading.taken, reading.power_watts)
        self._core.add(reading.taken, reading.core_mhz)
        self._celsius.add(reading.taken, reading.celsius)
        if reading.celsius is not None:
            self._highest = max(reading.celsius, self._highest or reading.celsius)
        if reading.vram_used is not None:
            self._vram = max(reading.vram_used, self._vram or 0)
        self._slowed |= dict.fromkeys(
            reason for reason in reading.reasons or () if reason != "idle"
        )

    def usage(self) -> Usage | None:
        """Give what was measured; None before there were two readings."""
        first, last = self._first, self._last
        if first is None or last is None or last.taken <= first.taken:
            return None
        return Usage(
            card=self.card,
            name=self._name,
            profiles=tuple(
                # The moment in which a stage has begun and its clocks are on their way is no change.
                name
                for name, seconds in self._profiles.items()
                if seconds >= LEAST_SHARE * (last.taken - first.taken)
            ),
            seconds=round(last.taken - first.taken, 3),
            energy_wh=_rounded(self._energy(first, last), 4),
            mean_watts=_rounded(self._watts.mean, 1),
            mean_core_mhz=_rounded(self._core.mean, 0),
            mean_celsius=_rounded(self._celsius.mean, 1),
            highest_celsius=self._highest,
            peak_vram=self._vram,
            slowed_by=tuple(self._slowed),
        )

    def _energy(self, first: Sample, last: Sample) -> float | None:
        """Take the GPU's own counter; where it has none, or it began again, add up the power."""
        if (
            first.energy_mj is not None
            and last.energy_mj is not None
            and last.energy_mj >= first.energy_mj
        ):
            return (last.energy_mj - first.energy_mj) / 1000 / JOULES_PER_WATT_HOUR
        return self._watts.sum / JOULES_PER_WATT_HOUR if self._watts.seconds > 0 else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
