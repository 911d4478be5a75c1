"""The picture that all measurements use: 1216x832, photograph-like, drawn here."""

from __future__ import annotations

import io
import statistics
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 1216, 832


def draw() -> bytes:
    """Draw soft shapes with fine grain, so that PNG compresses it about as badly as a photograph."""
    noise = np.random.default_rng(7)
    coarse = noise.integers(0, 255, (14, 20, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    grain = noise.normal(0, 2.0, (HEIGHT, WIDTH, 1))
    pixels = np.clip(soft + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def variant(png: bytes, number: int) -> bytes:
    """Give the same picture other bytes: a text chunk in front of the last chunk."""
    body = f"Comment\0number {number}".encode()
    chunk = len(body).to_bytes(4, "big") + b"tEXt" + body
    chunk += zlib.crc32(b"tEXt" + body).to_bytes(4, "big")
    return png[:-12] + chunk + png[-12:]


def decode_seconds(files: list[Path]) -> list[float]:
    """Time a loop in this process that only decodes, file by file."""
    times = []
    for file in files:
        begun = time.perf_counter()
        with Image.open(file) as image:
            image.load()
        times.append(time.perf_counter() - begun)
    return times


def median_decode(png: bytes, count: int = 60) -> float:
    """Give the median time of one decode."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        with Image.open(io.BytesIO(png)) as image:
            image.load()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
