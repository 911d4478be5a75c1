"""The process that opens a finished video: every frame decoded once, measured, and a poster taken."""

from __future__ import annotations

import itertools
import os
import resource
import sys
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .verify import NONE, Grain, Measured

Luma = NDArray[np.float32]

MEMORY = 4 << 30
# Looked at for grain; decoding all frames finds the rest.
SAMPLES = 9
# Motion shows at this width as well as at full size, for a fraction of the work.
SMALL = 160
# Where ComfyUI's save nodes put the whole graph, prompts and all.
GRAPH_TAGS = {"prompt", "workflow"}
# A pixel this close to black or white carries no picture any more.
CLIPPED = (6, 249)


def measure(video: Path, still: Path | None, poster: Path | None) -> Measured:
    """Decode a video wholly and measure it; what cannot be decoded raises an error of PyAV's."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or Fraction(0)
        total = stream.frames or 1
        grain: list[Grain] = []
        small: list[Luma] = []
        clipped: list[float] = []
        middle: Image.Image | None = None
        width = height = count = 0
        for frame in container.decode(stream):
            width, height = frame.width, frame.height
            luma = np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
            step = max(1, width // SMALL)
            small.append(luma[::step, ::step].astype(np.float32))
            if count % max(1, total // SAMPLES) == 0:
                grain.append(noise(luma))
                clipped.append(float(((luma <= CLIPPED[0]) | (luma >= CLIPPED[1])).mean()))
            if count == total // 2:
                middle = Image.fromarray(np.asarray(frame.to_ndarray(format="rgb24")))
            count += 1
        codec = stream.codec_context.name
    means = [float(frame.mean()) for frame in small]
    steps = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(small)]
    if poster is not None and middle is not None:
        middle.save(poster, quality=88)
    return Measured(
        frames=count,
        fps=float(rate),
        duration=count / float(rate) if rate else 0.0,
        width=width,
        height=height,
        codec=codec,
        size=video.stat().st_size,
        luma=float(np.mean(means)) if means else 0.0,
        dark=float(np.mean([mean < 10 for mean in means])) if means else 1.0,
        clipped=float(np.median(clipped)) if clipped else 0.0,
        motion=float(np.mean(steps)) if steps else 0.0,
        repeated=float(np.mean([step < 0.02 for step in steps])) if steps else 0.0,
        grain=_median(grain),
        still_grain=still_noise(still, (width, height)) if still and width else NONE,
    )


def _median(grain: list[Grain]) -> Grain:
    if not grain:
        return NONE
    full, half, quarter = np.median(np.array(grain), axis=0)
    return (float(full), float(half), float(quarter))


def noise(luma: NDArray[np.uint8]) -> Grain:
    """Estimate the noise of a picture at full, half and quarter size, from its second differences.

    The operator answers to neither flat areas nor straight edges nor gradients, and the median
    passes over textures that only part of a picture has. Noise of the latents, which are an eighth
    of the video's size, shows most at a quarter.
    """
    x = luma.astype(np.float32)
    found = []
    for _ in range(3):
        rows = x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:]
        both = rows[:-2] - 2 * rows[1:-1] + rows[2:]
        found.append(float(np.median(np.abs(both))) / (6 * 0.6745) if both.size else 0.0)
        even = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
        x = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / np.float32(4)
    return (found[0], found[1], found[2])


def still_noise(still: Path, size: tuple[int, int]) -> Grain:
    """Estimate the noise that the source picture itself has at the video's size."""
    with Image.open(still) as image:
        grey = image.convert("L").resize(size, Image.Resampling.BILINEAR)
        return noise(np.asarray(grey))


def strip(video: Path) -> None:
    """Take graph and prompt out of a video's tags; the streams are copied as they are."""
    clean = video.with_name(f".{video.stem}.clean{video.suffix}")
    with av.open(str(video)) as source:
        if not {tag.lower() for tag in source.metadata} & GRAPH_TAGS:
            return
        with av.open(str(clean), "w") as target:
            copies = {
                stream.index: target.add_stream_from_template(stream)
                for stream in source.streams
                if stream.type in ("video", "audio")
            }
            for packet in source.demux():
                if packet.dts is not None and packet.stream.index in copies:
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
    with clean.open("rb") as made:
        os.fsync(made.fileno())
    clean.replace(video)


def main(arguments: list[str]) -> int:
    """Measure one video and print the figures as JSON; exit code 3 means that it cannot be decoded."""
    os.nice(10)  # whoever prepares the engine's next prompt goes first
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    video, still, poster = (Path(each) if each else None for each in arguments[:3])
    assert video is not None
    try:
        if "strip" in arguments[3:]:
            strip(video)
        found = measure(video, still, poster)
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 3
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
