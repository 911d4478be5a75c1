"""The samplers: each walks its part of the way from noise to video."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ....graphs.schedules import segment, sigmas
from .. import codec, motion
from ..context import Context
from ..sampling import enter, integrate, leave, noise
from ..values import Conditioning, Latent, Result, Samples, Scene, SimulatedModel, Trajectory
from .registry import plays

_SEED_MASK = 0xFFFF_FFFF_FFFF_FFFF


@plays("KSampler")
def k_sampler(
    context: Context,
    *,
    model: SimulatedModel,
    seed: int,
    steps: int,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    latent_image: Latent,
    denoise: float,
    **_rest: object,
) -> Result:
    """Sample a whole run, or its last part if `denoise` is below one."""
    levels = sigmas(scheduler, steps, model.shift, sampler=sampler_name, denoise=denoise)
    run = _Run(context, model, positive, seed, sampler_name)
    return Result((run.sample(latent_image, levels, add_noise=True),))


@plays("KSamplerAdvanced")
def k_sampler_advanced(
    context: Context,
    *,
    model: SimulatedModel,
    add_noise: str,
    noise_seed: int,
    steps: int,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    latent_image: Latent,
    start_at_step: int,
    end_at_step: int,
    return_with_leftover_noise: str,
    **_rest: object,
) -> Result:
    """Sample some steps of a run."""
    levels = segment(
        sigmas(scheduler, steps, model.shift, sampler=sampler_name),
        start_at_step,
        end_at_step,
        keep_noise=return_with_leftover_noise == "enable",
    )
    run = _Run(context, model, positive, noise_seed, sampler_name)
    return Result((run.sample(latent_image, levels, add_noise=add_noise == "enable"),))


@plays("ClownsharKSampler_Beta", "SharkSampler_Beta")
def clownshark(
    context: Context,
    *,
    scheduler: str,
    steps: int,
    steps_to_run: int,
    denoise: float,
    seed: int,
    sampler_name: str = "euler",
    model: SimulatedModel | None = None,
    positive: Conditioning | None = None,
    latent_image: Latent | None = None,
    sampler_mode: str = "standard",
    **_rest: object,
) -> Result:
    """Sample the first steps of a run and hand the rest of it on with the latent."""
    if model is None or positive is None or latent_image is None:
        raise ValueError("The sampler needs a model, a positive conditioning and a latent.")
    levels = sigmas(scheduler, steps, model.shift, denoise=denoise)
    run = _Run(context, model, positive, max(seed, 0), sampler_name)
    x, path = run.enter(latent_image, levels[0], add_noise=sampler_mode != "resample")
    return run.unfinished(x, path, levels, steps_to_run)


@plays("ClownsharkChainsampler_Beta")
def clownshark_chain(
    context: Context,
    *,
    sampler_name: str,
    steps_to_run: int,
    model: SimulatedModel | None = None,
    positive: Conditioning | None = None,
    latent_image: Latent | None = None,
    **_rest: object,
) -> Result:
    """Go on where an earlier sampler of the same pack stopped."""
    if latent_image is None:
        raise ValueError("The chain sampler needs the latent of an earlier sampler.")
    if not isinstance(latent_image, _Unfinished):
        raise KeyError("state_info")
    model = model or latent_image.model
    positive = positive or latent_image.positive
    run = _Run(context, model, positive, 0, sampler_name)
    path = latent_image.path or Trajectory(0)
    return run.unfinished(latent_image.samples, path, latent_image.levels, steps_to_run)


@dataclass(frozen=True)
class _Unfinished(Latent):
    """A latent as the RES4LYF nodes pass it on: still at its noise level, with those ahead of it.

    The core samplers hand theirs over in another scale, so mixing the two leaves noise.
    """

    levels: tuple[float, ...] = ()
    positive: Conditioning = field(default_factory=lambda: Conditioning(""))
    model: SimulatedModel = field(default_factory=lambda: SimulatedModel(""))


class _Run:
    """One sampler at work."""

    def __init__(
        self,
        context: Context,
        model: SimulatedModel,
        positive: Conditioning,
        seed: int,
        sampler: str,
    ) -> None:
        self._context = context
        self._model = model
        self._positive = positive
        self._seed = seed & _SEED_MASK
        self._sampler = sampler
        self._given: Samples | None = None

    def sample(self, latent: Latent, levels: Sequence[float], *, add_noise: bool) -> Latent:
        """Walk down the levels from a latent, and hand over what comes of it."""
        if len(levels) < 2:
            return latent
        x, path = self.enter(latent, levels[0], add_noise=add_noise)
        x, path = self._walk(x, path, levels)
        return Latent(leave(x, levels[-1]), path)

    def enter(self, latent: Latent, level: float, *, add_noise: bool) -> tuple[Samples, Trajectory]:
        """Bring a latent to the first level."""
        if latent.path is None and np.any(latent.samples):
            # Footage that was encoded: without a scene, it is what the video should show.
            self._given = latent.samples
        fresh = noise(Trajectory(self._seed), latent.samples.shape) if add_noise else None
        # A latent that already is on a path stays on it, whatever seed comes later.
        return enter(latent.samples, fresh, level), latent.path or Trajectory(self._seed)

    def unfinished(
        self, x: Samples, path: Trajectory, levels: Sequence[float], steps_to_run: int
    ) -> Result:
        """Run some steps and pass the rest of them on with the latent."""
        last = len(levels) - 1
        end = last if steps_to_run < 0 else min(steps_to_run, last)
        x, path = self._walk(x, path, levels[: end + 1])
        state = _Unfinished(x, path, tuple(levels[end:]), self._positive, self._model)
        flow = noise(path, x.shape) - self._target(x, path)
        denoised = Latent(x - np.float32(levels[end]) * flow, path)
        return Result((state, denoised, None))

    def _walk(
        self, x: Samples, path: Trajectory, levels: Sequence[float]
    ) -> tuple[Samples, Trajectory]:
        target = self._target(x, path)
        step = self._context.step
        return integrate(x, levels, target, path, sampler=self._sampler, step=step)

    def _target(self, x: Samples, path: Trajectory) -> Samples:
        """Encode what the video should show."""
        batch, _, count, rows, columns = x.shape
        scene = self._positive.scene
        if scene is None:
            if self._given is not None:
                return self._given
            width, height = columns * codec.BLOCK, rows * codec.BLOCK
            scene = Scene(width, height, (count - 1) * codec.STRIDE + 1)
        film = motion.film(scene, self._positive.text, path.seed, every=codec.STRIDE)
        keys = codec.encode_keys(film)
        if keys.shape[2:] != (count, rows, columns):
            raise RuntimeError(
                f"The size of tensor a ({columns}) must match the size of tensor b "
                f"({keys.shape[-1]}) at non-singleton dimension 4"
            )
        if self._model.expert == "high":
            # The high-noise expert lays out the movement and leaves detail to the other.
            keys[:, list(codec.DETAIL)] = 0
        return np.repeat(keys, batch, axis=0) if batch > 1 else keys
