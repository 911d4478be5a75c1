"""The samplers: each walks its part of the way from noise to video."""

from collections.abc import Sequence

import numpy as np

from .. import codec, motion
from ..execute import Context
from ..sampling import enter, integrate, leave, noise
from ..schedules import segment, sigmas
from ..values import Conditioning, Latent, Model, Result, Samples, Scene, Trajectory
from .registry import plays

_SEED_MASK = 0xFFFF_FFFF_FFFF_FFFF


@plays("KSampler")
def k_sampler(
    context: Context,
    *,
    model: Model,
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
    model: Model,
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
    model: Model | None = None,
    positive: Conditioning | None = None,
    latent_image: Latent | None = None,
    sampler_mode: str = "standard",
    **_rest: object,
) -> Result:
    """Sample the first steps of a run and hand the rest of it on with the latent."""
    if model is None or positive is None or latent_image is None:
        raise ValueError("The sampler needs a model, a positive conditioning and a latent.")
    levels = sigmas(scheduler, steps, model.shift, denoise=denoise)
    end = len(levels) - 1 if steps_to_run < 0 else min(steps_to_run, len(levels) - 1)
    run = _Run(context, model, positive, max(seed, 0), sampler_name)
    fresh = sampler_mode != "resample"
    done = run.sample(latent_image, levels[: end + 1], add_noise=fresh)
    unfinished = _Unfinished(done.samples, done.path, tuple(levels[end:]), positive, model)
    return Result((unfinished, done, None))


@plays("ClownsharkChainsampler_Beta")
def clownshark_chain(
    context: Context,
    *,
    sampler_name: str,
    steps_to_run: int,
    model: Model | None = None,
    positive: Conditioning | None = None,
    latent_image: Latent | None = None,
    **_rest: object,
) -> Result:
    """Go on where an earlier sampler of the same pack stopped."""
    if latent_image is None:
        raise ValueError("The chain sampler needs the latent of an earlier sampler.")
    if not isinstance(latent_image, _Unfinished):
        raise KeyError("state_info")
    levels = list(latent_image.levels)
    end = len(levels) - 1 if steps_to_run < 0 else min(steps_to_run, len(levels) - 1)
    model = model or latent_image.model
    positive = positive or latent_image.positive
    run = _Run(context, model, positive, 0, sampler_name)
    done = run.sample(latent_image, levels[: end + 1], add_noise=False)
    rest = tuple(levels[end:])
    return Result((_Unfinished(done.samples, done.path, rest, positive, model), done, None))


class _Unfinished(Latent):
    """A latent that knows the noise levels still ahead of it, as the RES4LYF nodes pass it on."""

    def __init__(
        self,
        samples: Samples,
        path: Trajectory | None,
        levels: tuple[float, ...],
        positive: Conditioning,
        model: Model,
    ) -> None:
        super().__init__(samples, path)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "positive", positive)
        object.__setattr__(self, "model", model)

    levels: tuple[float, ...]
    positive: Conditioning
    model: Model


class _Run:
    """One sampler at work."""

    def __init__(
        self, context: Context, model: Model, positive: Conditioning, seed: int, sampler: str
    ) -> None:
        self._context = context
        self._model = model
        self._positive = positive
        self._seed = seed & _SEED_MASK
        self._sampler = sampler

    def sample(self, latent: Latent, levels: Sequence[float], *, add_noise: bool) -> Latent:
        """Walk down the levels from a latent."""
        if len(levels) < 2:
            return latent
        # A latent that already is on a path stays on it, whatever seed comes later.
        path = latent.path or Trajectory(self._seed)
        shape = latent.samples.shape
        fresh = noise(Trajectory(self._seed), shape) if add_noise else None
        x = enter(latent.samples, fresh, levels[0])
        target = self._target(latent, path)
        x, path = integrate(x, levels, target, path, sampler=self._sampler, step=self._context.step)
        return Latent(leave(x, levels[-1]), path)

    def _target(self, latent: Latent, path: Trajectory) -> Samples:
        """Encode what the video should show."""
        batch, _, count, rows, columns = latent.samples.shape
        scene = self._positive.scene
        if scene is None:
            if np.any(latent.samples):
                return latent.samples
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
