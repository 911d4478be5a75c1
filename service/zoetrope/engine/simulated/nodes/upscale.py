"""SeedVR2's place: a tiled, overlapped Lanczos upscale in windows of time."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from ..context import Context
from ..values import Frames, Handle, Result
from .registry import plays

#: SeedVR2 counts its work in hundredths.
_HUNDRED = 100
_ENCODED = 20
_DECODED = 95


@plays("SeedVR2LoadDiTModel")
def load_dit(
    _: Context,
    *,
    model: str,
    device: str,
    blocks_to_swap: int = 0,
    swap_io_components: bool = False,
    offload_device: str = "none",
    cache_model: bool = False,
    **options: object,
) -> Result:
    """Load the upscaler; swapping blocks or keeping the model needs somewhere to put it."""
    nowhere = offload_device in {"none", device}
    if nowhere and (blocks_to_swap > 0 or swap_io_components):
        raise ValueError(
            "BlockSwap enabled but dit_offload_device is invalid. Set 'offload_device' on the "
            "SeedVR2 DiT Model node to a device other than the one it runs on."
        )
    if cache_model and offload_device == "none":
        raise ValueError("Model caching (cache_model=True) requires offload_device to be set.")
    return Result((Handle("seedvr2_dit", model, options),))


@plays("SeedVR2LoadVAEModel")
def load_vae(
    _: Context,
    *,
    model: str,
    offload_device: str = "none",
    cache_model: bool = False,
    **options: object,
) -> Result:
    """Load the upscaler's VAE."""
    if cache_model and offload_device == "none":
        raise ValueError("Model caching (cache_model=True) requires offload_device to be set.")
    return Result((Handle("seedvr2_vae", model, options),))


@plays("SeedVR2TorchCompileSettings")
def compile_settings(_: Context, **options: object) -> Result:
    """Pass settings on."""
    return Result((Handle("torch_compile", "", options),))


@plays("SeedVR2VideoUpscaler")
def upscale(
    context: Context,
    *,
    image: Frames,
    dit: Handle,
    vae: Handle,
    resolution: int,
    max_resolution: int,
    batch_size: int,
    temporal_overlap: int = 0,
    **_rest: object,
) -> Result:
    """Upscale a video so that its shorter side has the wanted length."""
    del dit
    height, width = image.shape[1:3]
    wide, high = upscaled_size(width, height, resolution, max_resolution)
    out = np.empty((len(image), high, wide, 3), dtype=np.uint8)
    tile = _tile(vae.options)
    windows = stretches(len(image), batch_size, temporal_overlap)
    done = 0
    context.step(_ENCODED, _HUNDRED)
    for number, (start, end) in enumerate(windows):
        for i in range(max(start, done), end):
            out[i] = _lanczos(image[i], wide, high, tile)
            context.breathe()
        done = end
        share = (number + 1) / len(windows)
        context.step(round(_ENCODED + (_DECODED - _ENCODED) * share), _HUNDRED)
    context.step(_HUNDRED, _HUNDRED)
    return Result((out,))


def upscaled_size(width: int, height: int, short: int, longest: int) -> tuple[int, int]:
    """Scale to the short side, then back if the long side is over its limit; even numbers."""
    factor = short / min(width, height)
    if longest and max(width, height) * factor > longest:
        factor = longest / max(width, height)
    return max(2, round(width * factor / 2) * 2), max(2, round(height * factor / 2) * 2)


def stretches(count: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cut a clip into stretches of time."""
    overlap = 0 if overlap >= size else overlap
    starts = range(0, max(1, count - overlap), size - overlap)
    return [(start, min(count, start + size)) for start in starts]


def _tile(options: Mapping[str, Any]) -> tuple[int, int]:
    """Read the tile size and overlap of the decoder; (0, 0) when it works on whole frames."""
    if not options.get("decode_tiled"):
        return 0, 0
    size = int(options.get("decode_tile_size", 1024))
    return size, min(int(options.get("decode_tile_overlap", 128)), size // 2)


def _lanczos(frame: Frames, wide: int, high: int, tile: tuple[int, int]) -> Frames:
    """Upscale one frame, in tiles if they are smaller than it."""
    size, overlap = tile
    picture = Image.fromarray(frame)
    if not size or (size >= wide and size >= high):
        return np.asarray(picture.resize((wide, high), Image.Resampling.LANCZOS))
    out = Image.new("RGB", (wide, high))
    stride = max(1, size - overlap)
    for row in range(math.ceil(max(1, high - overlap) / stride)):
        for column in range(math.ceil(max(1, wide - overlap) / stride)):
            left, top = column * stride, row * stride
            right, bottom = min(wide, left + size), min(high, top + size)
            # Pillow reads past the box for its filter, so tiles meet without a seam.
            box = (
                left * picture.width / wide,
                top * picture.height / high,
                right * picture.width / wide,
                bottom * picture.height / high,
            )
            part = picture.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box)
            inner_left, inner_top = (overlap // 2 if column else 0), (overlap // 2 if row else 0)
            part = part.crop((inner_left, inner_top, right - left, bottom - top))
            out.paste(part, (left + inner_left, top + inner_top))
    return np.asarray(out)
