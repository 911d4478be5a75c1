"""ComfyUI's own SeedVR2: padding, batches and joining as the real nodes do them; the model itself adds nothing."""

import math
from typing import Any

import numpy as np

from ..context import Context
from ..values import Conditioning, Frames, Latent, Listed, Result, SimulatedModel
from .registry import plays

_EDGE = 16
_STRIDE = 4


@plays("SeedVR2Preprocess")
def pad(_: Context, *, resized_images: Frames) -> Result:
    """Pad pictures with black to edges of 16 pixels, and a video with its last frame to 4n+1 of them."""
    count, height, width = resized_images.shape[:3]
    more = 0 if count == 1 else -(count - 1) % _STRIDE
    frames = np.concatenate([resized_images, np.repeat(resized_images[-1:], more, axis=0)])
    margin = ((0, 0), (0, -height % _EDGE), (0, -width % _EDGE), (0, 0))
    return Result((np.pad(frames, margin),))


@plays("SeedVR2Conditioning")
def condition(_: Context, *, model: SimulatedModel, vae_conditioning: Latent) -> Result:
    """Condition on the clip: the sampler keeps what its latent shows."""
    del model, vae_conditioning
    return Result((Conditioning(""), Conditioning("")))


@plays("SeedVR2TemporalChunk")
def split(
    _: Context, *, latent: Latent, temporal_overlap: int, chunking_mode: str, **options: Any
) -> Result:
    """Cut a latent into batches that overlap; `auto` finds that all of it fits."""
    count = latent.samples.shape[2]
    frames = options.get("chunking_mode.frames_per_chunk", 0) if chunking_mode == "manual" else 0
    if frames % _STRIDE != 1 and frames:
        raise ValueError(
            "SeedVR2TemporalChunk: frames_per_chunk must be a 4n+1 pixel-frame count "
            f"(1, 5, 9, 13, 17, 21, ...); got {frames}."
        )
    size = (frames - 1) // _STRIDE + 1 if frames else count
    if count <= size:
        return Result((Listed((latent,)), 0))
    overlap = min(temporal_overlap, size - 1)
    step = size - overlap
    starts = range(0, max(1, count - overlap), step)
    parts = tuple(Latent(latent.samples[:, :, start : start + size]) for start in starts)
    return Result((Listed(parts), overlap))


@plays("SeedVR2TemporalMerge")
def join(_: Context, *, latents: tuple[Latent, ...], temporal_overlap: tuple[int, ...]) -> Result:
    """Join batches; where two overlap, the earlier one fades out over the middle third."""
    whole = latents[0].samples
    for part in latents[1:]:
        fade = min(temporal_overlap[0], part.samples.shape[2])
        kept = whole.shape[2] - fade
        ramp = np.clip(np.linspace(0, 3, fade, dtype=np.float32) - 1, 0, 1)
        old = (0.5 + 0.5 * np.cos(math.pi * ramp)).reshape(1, 1, fade, 1, 1)
        mixed = whole[:, :, kept:] * old + part.samples[:, :, :fade] * (1 - old)
        whole = np.concatenate([whole[:, :, :kept], mixed, part.samples[:, :, fade:]], axis=2)
    return Result((Latent(whole, latents[0].path),))


@plays("SeedVR2PostProcessing")
def finish(
    _: Context, *, images: Frames, original_resized_images: Frames, color_correction_method: str
) -> Result:
    """Cut off what was padded, down to even edges, and give each frame the colors of its original."""
    before = original_resized_images
    count, height, width = (min(a, b) for a, b in zip(images.shape, before.shape[:3], strict=False))
    frames, before = images[:count, :height, :width], before[:count, :height, :width]
    if color_correction_method != "none":
        frames = np.stack([_colored(*pair) for pair in zip(frames, before, strict=True)])
    return Result((frames[:, : height // 2 * 2, : width // 2 * 2],))


def _colored(frame: Frames, like: Frames) -> Frames:
    """Match mean and spread of every channel, which stands for all of the methods."""
    mean, spread = frame.mean((0, 1)), frame.std((0, 1))
    gain = np.where(spread > 1, like.std((0, 1)) / np.maximum(spread, 1), 1.0)
    shown: Frames = np.rint((frame - mean) * gain + like.mean((0, 1))).clip(0, 255).astype(np.uint8)
    return shown
