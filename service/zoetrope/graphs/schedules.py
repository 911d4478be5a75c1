"""The noise levels of each scheduler for a flow model with a shift; plain numbers, no arrays."""

import math
from collections.abc import Callable, Sequence

#: The levels that a model knows, from almost clean to pure noise.
LEVELS = 1000

#: Samplers that are given one step more and then lose the last level but one.
_DISCARDS = {"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}


def sigma(shift: float, time: float) -> float:
    """Return the noise level at a time between 0 (clean) and 1 (noise)."""
    return shift * time / (1 + (shift - 1) * time)


def table(shift: float) -> list[float]:
    """Return every level the model knows, lowest first."""
    return [sigma(shift, (i + 1) / LEVELS) for i in range(LEVELS)]


def sigmas(
    scheduler: str, steps: int, shift: float, *, sampler: str = "euler", denoise: float = 1.0
) -> list[float]:
    """Return the levels of a sampler run, `steps` + 1 of them where the scheduler allows."""
    if denoise <= 0.0:
        return []
    if denoise <= 0.9999:
        whole = sigmas(scheduler, int(steps / denoise), shift, sampler=sampler)
        return whole[-(steps + 1) :]
    build = SCHEDULERS[scheduler]
    if sampler in _DISCARDS:
        levels = build(steps + 1, shift)
        return levels[:-2] + levels[-1:]
    return build(steps, shift)


def segment(levels: Sequence[float], start: int, end: int, *, keep_noise: bool) -> list[float]:
    """Cut the levels of a run from step `start` to step `end`; empty if nothing is left."""
    cut = list(levels)
    if end < len(cut) - 1:
        cut = cut[: end + 1]
        if not keep_noise:
            cut[-1] = 0.0
    return cut[start:] if start < len(cut) - 1 else []


def _simple(steps: int, shift: float) -> list[float]:
    known = table(shift)
    stride = LEVELS / steps
    return [known[-(1 + int(i * stride))] for i in range(steps)] + [0.0]


def _ddim_uniform(steps: int, shift: float) -> list[float]:
    known = table(shift)
    stride = max(LEVELS // steps, 1)
    return [*reversed(known[1::stride]), 0.0]


def _line(start: float, end: float, count: int) -> list[float]:
    if count == 1:
        return [start]
    return [start + (end - start) * i / (count - 1) for i in range(count)]


def _normal(steps: int, shift: float) -> list[float]:
    # The levels themselves are spaced evenly, then shifted again.
    return [sigma(shift, t) for t in _line(1.0, table(shift)[0], steps)] + [0.0]


def _sgm_uniform(steps: int, shift: float) -> list[float]:
    times = _line(1.0, table(shift)[0], steps + 1)[:-1]
    return [sigma(shift, t) for t in times] + [0.0]


def _karras(steps: int, shift: float) -> list[float]:
    rho = 7.0
    low, high = table(shift)[0] ** (1 / rho), 1.0
    return [(high + t * (low - high)) ** rho for t in _line(0.0, 1.0, steps)] + [0.0]


def _exponential(steps: int, shift: float) -> list[float]:
    low = math.log(table(shift)[0])
    return [math.exp(x) for x in _line(0.0, low, steps)] + [0.0]


def _kl_optimal(steps: int, shift: float) -> list[float]:
    low, high = math.atan(table(shift)[0]), math.atan(1.0)
    return [math.tan(x) for x in _line(high, low, steps)] + [0.0]


def _linear_quadratic(steps: int, shift: float) -> list[float]:
    del shift
    if steps == 1:
        return [1.0, 0.0]
    linear = steps // 2
    curved = steps - linear
    threshold = 0.025
    gap = linear - threshold * steps
    square = gap / (linear * curved**2)
    slope = threshold / linear - 2 * gap / curved**2
    constant = square * linear**2
    rising = [i * threshold / linear for i in range(linear)]
    rising += [square * i**2 + slope * i + constant for i in range(linear, steps)]
    return [1.0 - x for x in [*rising, 1.0]]


def _beta(steps: int, shift: float, a: float = 0.6, b: float = 0.6) -> list[float]:
    known = table(shift)
    levels: list[float] = []
    last = -1
    for i in range(steps):
        index = round(beta_quantile(1 - i / steps, a, b) * (LEVELS - 1))
        if index != last:
            levels.append(known[index])
        last = index
    return [*levels, 0.0]


def _bong_tangent(steps: int, shift: float) -> list[float]:
    # Two arctangent slopes that meet half-way down; the shift plays no part in it.
    del shift
    points = steps + 2
    pivot = int(0.6 * points)
    slope = 0.2 * 40 / points
    upper = _fall(pivot, slope, pivot, 1.0, 0.5)
    return upper[:-1] + _fall(points - pivot, slope, 0, 0.5, 0.0)


def _fall(count: int, slope: float, pivot: int, high: float, low: float) -> list[float]:
    """Fall from one level to another along an arctangent."""
    curve = [math.atan(slope * (pivot - x)) for x in range(count)]
    span = curve[0] - curve[-1] or 1.0
    return [low + (high - low) * (c - curve[-1]) / span for c in curve]


SCHEDULERS: dict[str, Callable[[int, float], list[float]]] = {
    "simple": _simple,
    "sgm_uniform": _sgm_uniform,
    "karras": _karras,
    "exponential": _exponential,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "normal": _normal,
    "linear_quadratic": _linear_quadratic,
    "kl_optimal": _kl_optimal,
    "bong_tangent": _bong_tangent,
    "beta57": lambda steps, shift: _beta(steps, shift, 0.5, 0.7),
}


def beta_quantile(p: float, a: float, b: float) -> float:
    """Return the point below which a beta distribution has the share `p`."""
    if p <= 0.0 or p >= 1.0:
        return min(max(p, 0.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_share(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the share of a beta distribution below `x` (regularised incomplete beta)."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_share(1.0 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    # The continued fraction, by Lentz's method.
    tiny = 1e-30
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1) or tiny)
    total = d
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        factor = 1.0
        for term in (even, odd):
            d = 1.0 / (1.0 + term * d or tiny)
            c = 1.0 + term / c or tiny
            factor = c * d
            total *= factor
        if abs(factor - 1.0) < 1e-12:
            break
    return front * total
