"""How much noise is left where one expert hands over to the other."""

from __future__ import annotations

from functools import lru_cache

from ..graphs.schedules import SCHEDULERS, sigmas

#: What ComfyUI gives to WAN where no node says otherwise.
DEFAULT_SHIFT = 8.0

#: Where training changed the expert: WAN 2.2's own configurations.
_BOUNDARIES = {"t2v": 0.875}
_BOUNDARY = 0.9

# More steps than anybody runs are not worth a table.
_MOST_STEPS = 200


def boundary(task: str) -> float:
    """Give the noise level at which training changed from the high to the low expert."""
    return _BOUNDARIES.get(task, _BOUNDARY)


def handoff(scheduler: str, steps: int, shift: float, step: int) -> float | None:
    """Give the noise that is left before a step; None where the schedule is not known."""
    levels = _levels(scheduler, steps, shift)
    return levels[step] if 0 <= step < len(levels) else None


def natural_split(scheduler: str, steps: int, shift: float, task: str = "i2v") -> int | None:
    """Count the steps that begin at the boundary or above it; None where that is not known."""
    levels = _levels(scheduler, steps, shift)
    return sum(level >= boundary(task) for level in levels) if levels else None


@lru_cache(maxsize=256)
def _levels(scheduler: str, steps: int, shift: float) -> tuple[float, ...]:
    # The shift's own steps are 0.01: what is smaller is no one's, and divides by zero.
    known = scheduler in SCHEDULERS and 1 < steps <= _MOST_STEPS and 0.01 <= shift <= 100
    return tuple(sigmas(scheduler, steps, shift)) if known else ()
