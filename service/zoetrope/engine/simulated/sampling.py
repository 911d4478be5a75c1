"""Integrates the flow from noise to video, step by step, along the flow's own velocity.

The velocity is the path's noise minus the target. It is not estimated from the current latent: a
sampler that is handed the wrong noise level, or noise twice, keeps what is wrong to the end, and
the finished video shows it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ...graphs.samplers import evaluations
from .values import Samples, Trajectory

#: Tells how many steps are done, and of how many.
Step = Callable[[int, int], None]
Velocity = Callable[[Samples, float], Samples]

#: Samplers that replace the path's noise by fresh noise at every step.
_RENOISING = ("lcm", "ancestral", "sde", "ddpm", "sa_solver")


def noise(path: Trajectory, shape: tuple[int, ...]) -> Samples:
    """Draw the noise of a path."""
    source = np.random.Generator(np.random.SFC64([path.seed, path.draw]))
    return source.standard_normal(shape, dtype=np.float32)


def renoises(sampler: str) -> bool:
    """Say whether a sampler draws fresh noise at every step."""
    return any(word in sampler for word in _RENOISING)


def enter(latent: Samples, fresh: Samples | None, level: float) -> Samples:
    """Bring a latent to a noise level, with fresh noise or (as the real one does) with none."""
    scaled = latent * np.float32(1 - level)
    return scaled if fresh is None else scaled + fresh * np.float32(level)


def leave(x: Samples, level: float) -> Samples:
    """Hand a latent over; what is still noisy is scaled so that the next sampler can go on."""
    return x if level == 0 else x / np.float32(max(1 - level, 1e-4))


def integrate(
    x: Samples,
    levels: Sequence[float],
    target: Samples,
    path: Trajectory,
    *,
    sampler: str,
    step: Step,
) -> tuple[Samples, Trajectory]:
    """Walk down the levels; return the latent and the path it is on at the end."""
    steps = len(levels) - 1
    if not renoises(sampler):
        velocity = noise(path, x.shape) - target
        stages = evaluations(sampler) or 1
        for i in range(steps):
            x = _advance(x, levels[i], levels[i + 1], lambda _x, _level: velocity, stages)
            step(i + 1, steps)
        return x, path
    for i in range(steps):
        here, there = np.float32(levels[i]), np.float32(levels[i + 1])
        x = x - here * (noise(path, x.shape) - target)
        if there > 0:
            path = Trajectory(path.seed, path.draw + 1)
            x = x * (1 - there) + noise(path, x.shape) * there
        step(i + 1, steps)
    return x, path


def _advance(x: Samples, here: float, there: float, at: Velocity, stages: int) -> Samples:
    """Take one step with one, two, or three and more looks at the velocity."""
    width = there - here
    first = at(x, here)
    if stages == 1:
        return x + np.float32(width) * first
    middle = at(x + np.float32(width / 2) * first, here + width / 2)
    if stages == 2:
        return x + np.float32(width) * middle
    last = at(x + np.float32(width) * (2 * middle - first), there)
    return x + np.float32(width / 6) * (first + 4 * middle + last)
