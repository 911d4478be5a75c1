"""Nodes for latents: decoding, encoding, and keeping them in files."""

import json
from collections.abc import Callable

import numpy as np

from .. import codec
from ..context import Context
from ..safetensors import read_tensors, write_tensors
from ..sampling import noise
from ..values import Frames, Handle, Latent, Result, Samples, Trajectory
from .image import vanish
from .registry import plays


@plays("VAEDecode")
def decode(context: Context, *, samples: Latent, vae: Handle) -> Result:
    """Decode a latent to frames."""
    del vae
    latents = _troubled(context, samples)
    return Result((_spoiled(context, _each(latents, codec.decode)),))


@plays("VAEDecodeTiled")
def decode_tiled(
    context: Context,
    *,
    samples: Latent,
    vae: Handle,
    temporal_size: int,
    temporal_overlap: int,
    **_tiles: object,
) -> Result:
    """Decode a latent in stretches; a window shorter than the clip leaves seams in time."""
    del vae
    window = max(2, temporal_size // codec.STRIDE)
    overlap = max(1, min(window // 2, temporal_overlap // codec.STRIDE))
    latents = _troubled(context, samples)
    frames = _each(latents, lambda one: codec.decode_tiled(one, window, overlap))
    return Result((_spoiled(context, frames),))


@plays("VAEEncode", "VAEEncodeTiled")
def encode(_: Context, *, pixels: Frames, vae: Handle, **_tiles: object) -> Result:
    """Encode frames, in tiles or not."""
    del vae
    return Result((Latent(codec.encode(pixels)),))


@plays("SaveLatent")
def save(context: Context, *, samples: Latent, filename_prefix: str) -> Result:
    """Save a latent, with the path it is on, readable by its owner only."""
    place = context.files.next_output(filename_prefix)
    name = f"{place.name}_{place.counter:05}_.latent"
    tags = {"prompt": json.dumps(context.graph)}
    tags |= {key: json.dumps(value) for key, value in context.page_info.items()}
    if samples.path is not None:
        tags["rehearsal_path"] = json.dumps([samples.path.seed, samples.path.draw])
    tensors = {
        "latent_tensor": samples.samples,
        "latent_format_version_0": np.zeros(0, dtype=np.float32),
    }
    path = context.files.saving(place, name)
    write_tensors(path, tensors, tags)
    vanish(context, path)
    entry = {"filename": name, "subfolder": place.subfolder, "type": "output"}
    return Result((samples,), {"latents": [entry]})


@plays("LoadLatent")
def load(context: Context, *, latent: str) -> Result:
    """Load a latent."""
    path = context.files.find(latent)
    if path is None:
        raise FileNotFoundError(latent)
    tensors, tags = read_tensors(path)
    kept = json.loads(tags["rehearsal_path"]) if "rehearsal_path" in tags else None
    samples = tensors["latent_tensor"].astype(np.float32)
    return Result((Latent(samples, Trajectory(*kept) if kept else None),))


def _each(latent: Latent, decoder: Callable[[Samples], Frames]) -> Frames:
    """Decode a batch, one video after another."""
    parts = [decoder(latent.samples[i : i + 1]) for i in range(len(latent.samples))]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _troubled(context: Context, latent: Latent) -> Latent:
    """Fill a latent with noise if that was ordered."""
    if context.faults.strikes("noise", context.class_type):
        extra = noise(Trajectory(1), latent.samples.shape)
        return Latent(latent.samples + np.float32(0.7) * extra, latent.path)
    if context.faults.strikes("black", context.class_type):
        return Latent(np.full_like(latent.samples, np.nan), latent.path)
    return latent


def _spoiled(context: Context, frames: Frames) -> Frames:
    """Freeze or shorten decoded frames if that was ordered."""
    if context.faults.strikes("frozen", context.class_type):
        frames = np.repeat(frames[:1], len(frames), axis=0)
    if context.faults.strikes("short", context.class_type):
        frames = frames[: max(1, len(frames) - 4)]
    return frames
