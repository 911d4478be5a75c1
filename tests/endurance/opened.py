"""Pictures and videos with mutated bytes, opened as the product's own processes open them: bounded, and apart."""

from __future__ import annotations

import functools
import io
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.endurance.mutations import mutated
from tests.endurance.processes import FORK
from zoetrope.inbox import source_image_worker
from zoetrope.inbox.source_image_worker import OpenAnswer, OpenRequest
from zoetrope.verify import worker
from zoetrope.verify.expected import Expected
from zoetrope.verify.order import MeasureAnswer, Order

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
EXPECTED = Expected(frames=5, fps=16, width=64, height=64)


def open_picture(file: Path) -> None:
    """Open a picture as the worker does; whatever it is, there is an answer."""
    ask = OpenRequest(os.fsencode(file), os.fsencode(file.with_name("made.png")), 1, small=os.fsencode(file.with_name("small.jpg")))  # fmt: skip
    assert isinstance(source_image_worker.answer(ask), OpenAnswer)


def open_moving(file: Path) -> None:
    """Open a video that somebody dropped."""
    ask = OpenRequest(os.fsencode(file), os.fsencode(file.with_name("made.png")), 1, max_frames=20)
    assert isinstance(source_image_worker.answer(ask), OpenAnswer)


def open_video(file: Path) -> None:
    """Measure a video as the checker does."""
    answer = worker.answer(Order(video=str(file), expected=EXPECTED))
    assert isinstance(answer, MeasureAnswer)


@functools.cache
def pictures() -> tuple[bytes, ...]:
    """Draw one picture in every format that is opened."""
    image = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
    found = []
    for kind in FORMATS:
        file = io.BytesIO()
        image.save(file, kind)
        found.append(file.getvalue())
    return tuple(found)


@functools.cache
def videos() -> tuple[bytes, ...]:
    """Encode one small video in two containers."""
    found = []
    for container, codec in (("mp4", "libx264"), ("matroska", "ffv1")):
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=16)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for number in range(5):
                pixels = np.full((64, 64, 3), number * 40, np.uint8)
                pixels[number * 8 : number * 8 + 16] = 200
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            out.mux(stream.encode())
        found.append(file.getvalue())
    return tuple(found)


#: What is opened how, and what it begins with.
OPENERS: dict[str, tuple[Callable[[Path], None], Callable[[], tuple[bytes, ...]]]] = {
    "pictures": (open_picture, pictures),
    "clips": (open_moving, videos),
    "videos": (open_video, videos),
}


def open_many(
    opener: tuple[Callable[[Path], None], Callable[[], tuple[bytes, ...]]],
    seed: int,
    seconds: float,
    root: Path,
) -> tuple[int, int]:
    """Open mutations for so long in a process of its own; gives how many, and whether a decoder died of one.

    A decoder may die: that costs the service one picture. An answer that is none may not be.
    """
    take, seeds = opener
    starts = seeds()
    folder = root / "opened"
    folder.mkdir(exist_ok=True)
    file, count = folder / "input", folder / "count"
    count.write_text("0")
    child = FORK.Process(target=_open_all, args=(take, starts, seed, seconds, file, count))
    child.start()
    child.join(seconds + 60)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise AssertionError(f"{take.__name__} hangs; see {file}")
    if child.exitcode > 0:
        raise AssertionError(f"{take.__name__} gave no answer; see {file}")
    return int(count.read_text() or 0), int(child.exitcode < 0)


def _open_all(
    take: Callable[[Path], None],
    starts: tuple[bytes, ...],
    seed: int,
    seconds: float,
    file: Path,
    count: Path,
) -> None:
    chance = random.Random(seed)
    os.dup2(os.open(file.with_name("said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    source_image_worker.limit(1)
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        file.write_bytes(mutated(chance.choice(starts), starts, chance))
        take(file)
        number += 1
        if number % 10 == 0:
            count.write_text(str(number))
