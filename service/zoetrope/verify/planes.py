"""Planes of pixels as numbers: made smaller, and frames taken apart into them."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Luma = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def plain(frame: av.VideoFrame, layout: str) -> Pixels:
    """Give a frame as bytes."""
    return np.asarray(frame.to_ndarray(format=layout), dtype=np.uint8)


def halved(x: Luma) -> Luma:
    """Average each square of four pixels."""
    even = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    four = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return four / np.float32(4)


def reduced(plane: Pixels, scale: float) -> Luma:
    """Make a plane smaller, or only give it as numbers to count with."""
    if scale < 1:
        size = (max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale)))
        small = Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float32)
    return plane.astype(np.float32)
