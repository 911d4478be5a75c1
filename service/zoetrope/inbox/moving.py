"""The work on one video: decoded wholly, counted, measured, and its first frame kept as a picture.

Runs in the worker process alone; the service itself never imports PyAV.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ..errors import Rejected
from .formats import HEAD, MOVING, is_short, sniff_moving
from .normalize import OpenedPicture, measure, shrink

# Gaps between frames may differ this much, as a share of the usual one: rounding of timestamps does.
UNEVEN = 0.25
_MATROSKA_DURATION = re.compile(r"(\d+):(\d+):([\d.]+)")


def prepare(
    source: Path,
    target: Path,
    *,
    max_megapixels: int,
    max_frames: int,
    small: Path | None = None,
) -> OpenedPicture:
    """Open and decode a video wholly, and write its first frame, upright, as a picture, and a small copy of that."""
    with source.open("rb") as stream:
        kind = sniff_moving(stream.read(HEAD))
    if kind is None:
        raise Rejected("The file is not a video that can be opened.", MOVING, key="video-unknown")
    if is_short(source, kind):
        raise _truncated()
    try:
        with av.open(str(source)) as container:
            return _decode(container, kind, (target, small), max_megapixels, max_frames)
    except Rejected:
        raise
    except MemoryError as error:
        raise Rejected(
            "The video needs more memory than is allowed for opening it.",
            "Save it smaller, as H.264 in MP4.",
            key="picture-too-large",
        ) from error
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise _damaged(str(error)) from error


def _decode(
    container: av.container.InputContainer,
    kind: str,
    targets: tuple[Path, Path | None],
    max_megapixels: int,
    max_frames: int,
) -> OpenedPicture:
    if not container.streams.video:
        raise Rejected(
            "The file has audio but no video.",
            "Drop a video that shows something.",
            key="no-video",
        )
    stream = container.streams.video[0]
    # Without a decoder for it, PyAV's stream does not even have a size.
    if stream.codec_context is None:
        raise _damaged("its codec is not known here")
    measure((stream.width, stream.height), max_megapixels, "video")
    stream.thread_type = "AUTO"
    times: list[float] = []
    size = (0, 0)
    for frame in container.decode(stream):
        if len(times) == max_frames:
            raise Rejected(
                f"The video has more than {max_frames} frames.",
                "Cut it into shorter pieces.",
                key="video-too-long",
            )
        if not times:
            # As ComfyUI turns it: by the rotation that phones write next to the frames.
            first = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation // 90))
            size = (first.shape[1], first.shape[0])
            target, small = targets
            picture = Image.fromarray(np.ascontiguousarray(first))
            picture.save(target, "PNG", compress_level=1)
            if small is not None:
                shrink(picture, small)
        times.append(float(frame.time or 0.0))
    if not times:
        raise _damaged("it holds no frame")
    rate = float(stream.average_rate or 0)
    if not rate:
        raise _damaged("it does not say how fast it plays")
    # Some containers end without a word where a copy stopped; their headers still tell their length.
    if len(times) < stream.frames or times[-1] + 2 / rate < _duration(container, stream):
        raise _truncated()
    changes = []
    if _uneven(times):
        changes.append(f"its frames come unevenly; they will play at {rate:.4g} a second")
    return OpenedPicture(
        format=kind,
        width=size[0],
        height=size[1],
        made=True,
        frames=len(times),
        fps=rate,
        changes=tuple(changes),
    )


def _duration(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """Say how many seconds the pictures last by the header; 0 if it says nothing of them alone."""
    if said := _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = (float(part) for part in said.groups())
        return hours * 3600 + minutes * 60 + seconds
    alone = len(container.streams) == 1
    return (container.duration or 0) / av.time_base if alone else 0.0


def _uneven(times: Sequence[float]) -> bool:
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return bool(gaps) and max(gaps) - min(gaps) > UNEVEN * float(np.median(gaps)) + 0.002


def _truncated() -> Rejected:
    return Rejected(
        "The video ends too early.",
        "It was probably not copied to the end; copy it again.",
        key="picture-truncated",
    )


def _damaged(why: str) -> Rejected:
    return Rejected(
        f"The video cannot be decoded ({why}).",
        "Play it in a video program and save it anew as H.264 in MP4.",
        key="picture-damaged",
    )
