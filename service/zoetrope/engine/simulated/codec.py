"""The place of the VAE: a small block transform, 8 x 8 pixels and 4 frames to 16 numbers.

A latent frame holds the ten lowest cosines of each block's luma and the three lowest of either
chroma. One stands for the first frame, and one for every fourth after it; the frames between are
made of their two neighbours, moved to where they meet. So a clean latent decodes to a soft version
of its video, and noise in a latent is plain to see as blotches.
"""

import math

import numpy as np
import numpy.typing as npt

from .drift import between, shift_between
from .values import Frames, Samples

BLOCK = 8
STRIDE = 4
CHANNELS = 16

_Array = npt.NDArray[np.float32]

#: Which cosines (down, across) are kept, coarse to fine.
_LUMA = [(u, n - u) for n in range(4) for u in range(n + 1)]
_CHROMA = [(u, n - u) for n in range(2) for u in range(n + 1)]

#: Channels that carry fine detail, which the low-noise expert is responsible for.
DETAIL = tuple(i for i, (u, v) in enumerate(_LUMA) if u + v >= 2)

#: How much brighter the first latent frame of a stretch comes out, falling off quickly; a
#: decoder that looks back in time needs a moment to settle, and a stretch that is decoded on
#: its own shows it.
_SETTLING = 0.08


def _basis(count: int) -> _Array:
    rows = [
        [
            math.sqrt((1 if k == 0 else 2) / BLOCK) * math.cos(math.pi * k * (2 * x + 1) / 16)
            for x in range(BLOCK)
        ]
        for k in range(count)
    ]
    return np.array(rows, dtype=np.float32)


_LUMA_BASIS = _basis(4)
_CHROMA_BASIS = _basis(2)
#: What one unit of a channel is worth: coarse patterns vary a little more.
_LUMA_SCALE = np.array([190 / (1 + 0.1 * (u + v)) for u, v in _LUMA], dtype=np.float32)
_CHROMA_SCALE = np.array([80 / (1 + 0.1 * (u + v)) for u, v in _CHROMA], dtype=np.float32)

_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    dtype=np.float32,
)
_TO_RGB = np.array(
    [[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]], dtype=np.float32
)


def latent_length(frames: int) -> int:
    """Return how many latent frames hold so many frames."""
    return (frames - 1) // STRIDE + 1


def encode(frames: Frames) -> Samples:
    """Encode a video; every fourth frame is what counts."""
    return encode_keys(frames[::STRIDE][: latent_length(len(frames))])


def encode_keys(keys: Frames) -> Samples:
    """Encode pictures that already are every fourth frame of a video."""
    count, height, width = keys.shape[0], keys.shape[1] // BLOCK, keys.shape[2] // BLOCK
    out = np.empty((CHANNELS, count, height, width), dtype=np.float32)
    gains = _gains(count)
    for t in range(count):
        picture = keys[t, : height * BLOCK, : width * BLOCK].astype(np.float32)
        luma, blue, red = np.moveaxis(picture @ _TO_YCC.T, -1, 0)
        parts = _forward(luma / gains[t] - 128, _LUMA_BASIS, _LUMA, _LUMA_SCALE)
        out[:10, t] = parts
        out[10:13, t] = _forward(blue, _CHROMA_BASIS, _CHROMA, _CHROMA_SCALE)
        out[13:, t] = _forward(red, _CHROMA_BASIS, _CHROMA, _CHROMA_SCALE)
    return out[None]


def decode(samples: Samples) -> Frames:
    """Decode latents of one video in one stretch."""
    return _between(_decode_keys(samples[0]))


def decode_tiled(samples: Samples, window: int, overlap: int) -> Frames:
    """Decode in stretches of `window` latent frames that are blended where they overlap."""
    count = samples.shape[2]
    if window >= count:
        return decode(samples)
    overlap = min(overlap, window - 1)
    total = (count - 1) * STRIDE + 1
    shape = (total, samples.shape[3] * BLOCK, samples.shape[4] * BLOCK, 3)
    mixed = np.zeros(shape, dtype=np.float32)
    weights = np.zeros(total, dtype=np.float32)
    for start in range(0, max(1, count - overlap), window - overlap):
        part = decode(samples[:, :, start : start + window])
        first = start * STRIDE
        ramp = np.ones(len(part), dtype=np.float32)
        edge = overlap * STRIDE
        if start > 0 and edge:
            ramp[:edge] = (np.arange(1, edge + 1) / (edge + 1))[: len(part)]
        mixed[first : first + len(part)] += part * ramp[:, None, None, None]
        weights[first : first + len(part)] += ramp
        # The earlier stretch fades out where the next one fades in.
        following = start + window - overlap
        if following < count - overlap and edge:
            back = np.arange(1, edge + 1, dtype=np.float32)[::-1] / (edge + 1) - 1
            tail = slice(first + len(part) - edge, first + len(part))
            mixed[tail] += part[-edge:] * back[:, None, None, None]
            weights[tail] += back
    mixed /= np.maximum(weights, 1e-6)[:, None, None, None]
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def _gains(count: int) -> list[float]:
    return [1 + _SETTLING * math.exp(-t) for t in range(count)]


def _forward(plane: _Array, basis: _Array, kept: list[tuple[int, int]], scale: _Array) -> _Array:
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    size = len(basis)
    down: _Array = np.matmul(basis, plane.reshape(rows, BLOCK, columns * BLOCK))
    both: _Array = np.matmul(down.reshape(rows, size, columns, BLOCK), basis.T)
    parts = np.empty((len(kept), rows, columns), dtype=np.float32)
    for i, (u, v) in enumerate(kept):
        parts[i] = both[:, u, :, v] / scale[i]
    return parts


def _backward(parts: _Array, basis: _Array, kept: list[tuple[int, int]], scale: _Array) -> _Array:
    rows, columns = parts.shape[1:]
    size = len(basis)
    full = np.zeros((rows, size, columns, size), dtype=np.float32)
    for i, (u, v) in enumerate(kept):
        full[:, u, :, v] = parts[i] * scale[i]
    across: _Array = np.matmul(full, basis).reshape(rows, size, columns * BLOCK)
    plane: _Array = np.matmul(basis.T, across).reshape(rows * BLOCK, columns * BLOCK)
    return plane


def _decode_keys(samples: _Array) -> Frames:
    """Decode each latent frame to the one picture it stands for."""
    count, height, width = samples.shape[1:]
    keys = np.empty((count, height * BLOCK, width * BLOCK, 3), dtype=np.uint8)
    for t, gain in enumerate(_gains(count)):
        luma = (_backward(samples[:10, t], _LUMA_BASIS, _LUMA, _LUMA_SCALE) + 128) * gain
        blue = _backward(samples[10:13, t], _CHROMA_BASIS, _CHROMA, _CHROMA_SCALE)
        red = _backward(samples[13:, t], _CHROMA_BASIS, _CHROMA, _CHROMA_SCALE)
        picture = np.stack([luma, blue, red], axis=-1) @ _TO_RGB.T
        # A cast of NaN is black, as it is in the real engine's videos.
        picture = np.nan_to_num(picture, nan=0.0, posinf=255.0, neginf=0.0)
        keys[t] = np.rint(picture).clip(0, 255).astype(np.uint8)
    return keys


def _between(keys: Frames) -> Frames:
    """Make the frames between the pictures that the latents stand for."""
    total = (len(keys) - 1) * STRIDE + 1
    out = np.empty((total, *keys.shape[1:]), dtype=np.uint8)
    out[::STRIDE] = keys
    for k in range(len(keys) - 1):
        # Mixed where they stand, two pictures of a fast pan show every edge twice.
        shift = shift_between(keys[k], keys[k + 1])
        for i in range(1, STRIDE):
            out[k * STRIDE + i] = between(keys[k], keys[k + 1], shift, i / STRIDE)
    return out
