"""Small clips of every kind, sound and spoilt, as real encoded files."""

from fractions import Fraction

import av
import numpy as np
from PIL import Image, ImageDraw

from zoetrope.verify.expected import Expected

WIDTH, HEIGHT, FRAMES = 320, 192, 17
EXPECTED = Expected(frames=FRAMES, fps=16, width=WIDTH, height=HEIGHT)


def scene(grain: float = 0.0) -> np.ndarray:
    """A picture with soft shapes, hard edges and, if asked for, film grain; wider than the video."""
    noise = np.random.default_rng(3)
    coarse = noise.integers(20, 230, (8, 12, 3), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((WIDTH + 64, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(soft).astype(np.float32)
    pixels[60:130, 100:180] = 240
    return np.clip(pixels + noise.normal(0, grain, pixels.shape), 0, 255).astype(np.uint8)


def night() -> np.ndarray:
    """A black sky with stars."""
    sky = np.zeros((HEIGHT, WIDTH + 64, 3), np.uint8)
    places = np.random.default_rng(4)
    for y, x in zip(
        places.integers(0, HEIGHT - 1, 120), places.integers(0, WIDTH + 62, 120), strict=True
    ):
        sky[y : y + 2, x : x + 2] = 220
    return sky


def drawing() -> np.ndarray:
    """Thin lines on white."""
    paper = Image.new("RGB", (WIDTH + 64, HEIGHT), "white")
    pen = ImageDraw.Draw(paper)
    for n in range(12):
        pen.line([(20 + 28 * n, 20), (60 + 20 * n, HEIGHT - 20)], "black", 2)
    pen.ellipse([120, 40, 220, 140], outline="black", width=3)
    return np.asarray(paper)


KINDS = {"scene": scene, "grainy": lambda: scene(12), "night": night, "drawing": drawing}


def pan(picture, count=FRAMES):
    return [picture[:, n * 2 : n * 2 + WIDTH] for n in range(count)]


def breathing(picture, count=FRAMES):
    """Grow and shrink by a thousandth of the size, no more."""
    whole = Image.fromarray(picture[:, :WIDTH])
    frames = []
    for n in range(count):
        edge = 0.001 * (1 - np.cos(2 * np.pi * n / (count - 1))) / 2
        box = (WIDTH * edge, HEIGHT * edge, WIDTH * (1 - edge), HEIGHT * (1 - edge))
        grown = whole.transform(
            (WIDTH, HEIGHT), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
        )
        frames.append(np.asarray(grown))
    return frames


def write(file, frames, fps=16, codec="libx264", gaps=None):
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "18"}
        at = 0
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if gaps:
                frame.pts, frame.time_base = at, Fraction(1, fps)
                at += gaps[number % len(gaps)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file
