"""The process that opens a finished video: every frame decoded once, measured, and a poster taken."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .verify import BLACK, NONE, READY, Answer, Grain, Look, Measured

Luma = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# 161 frames of 1080x1578 on two cores peak at 0.6 GiB; the rest is room for the still and for threads.
MEMORY = 4 << 30
THREADS = 8
ENOUGH = 100_000
# Looked at for grain and colour; decoding all frames finds the rest.
SAMPLES = 9
# Motion shows at this short edge as well as at full size, for a fraction of the work.
SMALL = 160
# The liveliest part of a frame: what a person looks at may be small on a plain ground.
LIVELY = 0.05
# Change of that part, of 255, below which a frame repeats the one before.
REPEATED = 0.05
# Mean difference at a sixteenth of the size up to which the first frame shows the still. Sound first
# frames measure at most 4, other pictures 20 and more.
ALIKE = 12.0
# Where ComfyUI's save nodes put the whole graph, prompts and all; VHS writes it into the comment.
GRAPH_TAGS = {"prompt", "workflow", "comment"}
# A channel this close to black or white carries no picture any more.
CLIPPED = (6, 249)
# Faults of the disk or of its rights, wherever they show: the video has no part in them.
HOSTS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
}


class Still:
    """The source picture, placed in the video's frame as ComfyUI places it."""

    def __init__(self, file: Path, size: tuple[int, int]) -> None:
        Image.MAX_IMAGE_PIXELS = None  # the inbox has measured it
        with Image.open(file) as image:
            width, height = image.size
            scale = min(width / size[0], height / size[1])
            left, top = (width - size[0] * scale) / 2, (height - size[1] * scale) / 2
            # Not smoothed while made smaller, as torch does it: the grain of a large photograph stays.
            fitted = image.convert("RGB").transform(
                size,
                Image.Transform.EXTENT,
                (left, top, width - left, height - top),
                Image.Resampling.BILINEAR,
            )
        self.luma = np.asarray(fitted.convert("L"))
        # A small picture made large has no fine detail, and an engine's own is no noise: compared
        # at the picture's size, but no smaller than leaves the noise of latents to be seen.
        self.scale = max(0.5, min(1.0, scale))
        self.look = look(
            np.asarray(fitted), np.asarray(fitted.convert("YCbCr"))[..., 1:], self.scale
        )


class Tally:
    """What is noted while the frames go by."""

    def __init__(self, still: Path | None, total: int) -> None:
        self._file = still
        self._total = total
        self._before: Luma | None = None
        self._likeness = 0.0
        self.still: Still | None = None
        self.looks: list[Look] = []
        self.steps: list[float] = []
        self.means: list[float] = []
        self.damaged = 0
        self.residue: float | None = None
        self.poster: Image.Image | None = None

    def add(self, frame: av.VideoFrame) -> None:
        """Note one frame."""
        count = len(self.means)
        luma = plain(frame, "gray")
        step = max(1, min(frame.width, frame.height) // SMALL)
        small = luma[::step, ::step].astype(np.float32)
        mean = float(small.mean())
        if self._before is not None and self._before.shape == small.shape:
            self.steps.append(_liveliest(np.abs(small - self._before)))
        self._before = small
        self.means.append(mean)
        self.damaged += frame.is_corrupt
        if count == 0 and self._file is not None:
            self._compare(luma)
        if count % max(1, self._total // SAMPLES) == 0 or count == self._total // 2:
            rgb = plain(frame, "rgb24")
            colour = plain(frame, "yuv444p")[1:].transpose(1, 2, 0)
            self.looks.append(look(rgb, colour, self.still.scale if self.still else 1.0, luma))
            self._consider(rgb, mean, count)

    def _compare(self, luma: Pixels) -> None:
        """Look at the first frame beside the still; what is left of it then is not of the picture."""
        assert self._file is not None
        # A still that cannot be read (any more) leaves the video to be judged by itself.
        with contextlib.suppress(OSError, ValueError):
            self.still = Still(self._file, (luma.shape[1], luma.shape[0]))
        if self.still is None:
            return
        rest = reduced(luma, self.still.scale) - reduced(self.still.luma, self.still.scale)
        coarse = rest
        for _ in range(4):
            coarse = halved(coarse) if min(coarse.shape) > 1 else coarse
        if float(np.abs(coarse - np.median(coarse)).mean()) <= ALIKE:
            self.residue = noise(rest)[2]

    def _consider(self, rgb: Pixels, mean: float, count: int) -> None:
        """Keep the frame for the poster if it shows more, or lies nearer to the middle."""
        off = abs(count - self._total / 2) / max(1, self._total)
        likeness = (1.0 if mean >= BLACK else mean / BLACK) + (1 - off)
        if self.poster is None or likeness > self._likeness:
            self._likeness = likeness
            self.poster = Image.fromarray(rgb)


def measure(video: Path, still: Path | None, poster: Path | None) -> Measured:
    """Decode a video wholly and measure it; what cannot be decoded raises an error of PyAV's."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
        rate = stream.average_rate or Fraction(0)
        said = stream.duration * stream.time_base if stream.duration and stream.time_base else None
        seconds = float(said) if said else (container.duration or 0) / av.time_base
        tally = Tally(still, stream.frames or round(seconds * rate))
        size = (0, 0)
        for frame in container.decode(stream):
            size = (frame.width, frame.height)
            tally.add(frame)
        codec = stream.codec_context.name
    if poster is not None and tally.poster is not None:
        tally.poster.save(poster, quality=88)
    seen = _median(tally.looks)
    return Measured(
        frames=len(tally.means),
        fps=float(rate),
        duration=seconds,
        width=size[0],
        height=size[1],
        codec=codec,
        size=video.stat().st_size,
        damaged=tally.damaged,
        dark=_mean([mean < BLACK for mean in tally.means]),
        motion=_mean(tally.steps),
        repeated=_mean([step < REPEATED for step in tally.steps]),
        residue=tally.residue,
        luma=_mean(tally.means),
        clipped=seen.clipped,
        grain=seen.grain,
        colour=seen.colour,
        still=tally.still.look if tally.still else None,
    )


def plain(frame: av.VideoFrame, layout: str) -> Pixels:
    """Give a frame as bytes."""
    return np.asarray(frame.to_ndarray(format=layout), dtype=np.uint8)


def look(rgb: Pixels, colour: Pixels, scale: float = 1.0, luma: Pixels | None = None) -> Look:
    """Measure one picture, reduced to `scale` for what is fine."""
    grey = np.asarray(Image.fromarray(rgb).convert("L")) if luma is None else luma
    few = rgb[::2, ::2]
    # Every other pixel, as 4:2:0 has it.
    hues = [noise(reduced(colour[::2, ::2, n], scale))[1] for n in range(2)]
    return Look(
        luma=float(grey[::2, ::2].mean()),
        clipped=float(((few <= CLIPPED[0]) | (few >= CLIPPED[1])).mean()),
        grain=noise(reduced(grey, scale)),
        colour=max(hues),
    )


def noise(x: Luma) -> Grain:
    """Estimate the noise of a picture at full, half and quarter size, from its second differences.

    The operator answers to neither flat areas nor straight edges nor gradients, and the median
    passes over textures that only part of a picture has. Noise of the latents, which are an eighth
    of the video's size, shows most at a quarter.
    """
    found = []
    for _ in range(3):
        rows = x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:]
        both = rows[:-2] - 2 * rows[1:-1] + rows[2:]
        # A tenth of a million places tell the median as well as all of them.
        few = np.abs(both.reshape(-1)[:: max(1, both.size // ENOUGH) | 1])
        found.append(float(np.median(few)) / (6 * 0.6745) if few.size else 0.0)
        x = halved(x)
    return (found[0], found[1], found[2])


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


def _liveliest(change: Luma) -> float:
    few = max(1, int(change.size * LIVELY))
    return float(np.partition(change, -few, axis=None)[-few:].mean())


def _mean(values: list[float] | list[bool]) -> float:
    return float(np.mean(values)) if values else 0.0


def _median(looks: list[Look]) -> Look:
    if not looks:
        return Look(luma=0.0, clipped=0.0, grain=NONE, colour=0.0)
    full, half, quarter = np.median([each.grain for each in looks], axis=0)
    return Look(
        luma=_mean([each.luma for each in looks]),
        clipped=float(np.median([each.clipped for each in looks])),
        grain=(float(full), float(half), float(quarter)),
        colour=float(np.median([each.colour for each in looks])),
    )


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


def answer(video: Path, still: Path | None, poster: Path | None, *, clean: bool) -> Answer:
    """Do all that is asked; whatever a video makes a decoder do becomes an answer."""
    try:
        if clean:
            strip(video)
        return Answer(measured=measure(video, still, poster))
    except MemoryError:
        return Answer(unreadable=f"it needs more than {MEMORY >> 30} GiB of memory")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in HOSTS:
            return Answer(errno=error.errno)
        return Answer(unreadable=f"{type(error).__name__}: {error}")


def main(arguments: list[str], answers: BinaryIO) -> int:
    """Measure one video and answer on the standard output, which nothing else may write to."""
    # A Ctrl-C at a terminal is meant for the service, which ends this process itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # whoever prepares the engine's next prompt goes first
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # If the host runs out of memory all the same, this process is the one to go.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    video, still, poster = arguments[:3]
    answers.write(READY)
    answers.flush()
    told = answer(
        Path(video),
        Path(still) if still else None,
        Path(poster) if poster else None,
        clean="strip" in arguments[3:],
    )
    answers.write(msgspec.json.encode(told))
    answers.flush()
    return 0


if __name__ == "__main__":
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes elsewhere
    sys.exit(main(sys.argv[1:], output))
