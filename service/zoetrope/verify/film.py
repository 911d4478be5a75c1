"""One pass through a video: every frame decoded once and shown to each measure."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec

from ..domain.verdict import NONE, Appearance, Doubt, Measured
from .expected import Expected
from .measure import Figures, Measure
from .measures import all_measures
from .picture import Frame, SourcePicture
from .poster import Poster

THREADS = 8
# Looked at for grain and colour; decoding all frames finds the rest.
SAMPLES = 9
# What a video without a frame measures.
UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("luma", "dark", "clipped", "motion", "repeated"), 0.0),
    "grain": NONE,
}


def measure(video: Path, image: Path | None, poster: Path | None) -> Measured:
    """Decode a video wholly and measure it; what cannot be decoded raises an error of PyAV's."""
    measures = [each() for each in all_measures()]
    source: SourcePicture | None = None
    count, size = 0, (0, 0)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
        rate = stream.average_rate or Fraction(0)
        said = stream.duration * stream.time_base if stream.duration and stream.time_base else None
        seconds = float(said) if said else (container.duration or 0) / av.time_base
        total = stream.frames or round(seconds * rate)
        posing = Poster(total)
        for raw in container.decode(stream):
            size = (raw.width, raw.height)
            if count == 0 and image is not None:
                # One that cannot be read (any more) leaves the video to be judged by itself.
                with contextlib.suppress(OSError, ValueError):
                    source = SourcePicture(image, size)
            sampled = count % max(1, total // SAMPLES) == 0 or count == total // 2
            frame = Frame(raw, count, sampled=sampled, scale=source.scale if source else 1.0)
            for each in measures:
                each.see(frame, source)
            posing.see(frame)
            count += 1
        codec = stream.codec_context.name
    if poster is not None:
        posing.save(poster)
    figures = _gathered([each.figures() for each in measures])
    known, more = _sorted_out(figures, Measured)
    values: dict[str, Any] = UNKNOWN | known
    return Measured(
        frames=count,
        fps=float(rate),
        duration=seconds,
        width=size[0],
        height=size[1],
        codec=codec,
        size=video.stat().st_size,
        image=_look(source, measures) if source else None,
        more=more,
        **values,
    )


def judge(found: Measured, expected: Expected) -> tuple[Doubt, ...]:
    """Compare what was measured with what was asked for."""
    if not found.frames:
        return (Doubt("empty", f"The video holds no frame in its {found.size} bytes."),)
    doubts: list[Doubt] = []
    for each in all_measures():
        if each.of_pictures and not expected.quality:
            continue
        new = list(each.judge(found, expected))
        doubts += new
        if new and each.explains_all:
            break
    return tuple(doubts)


def _look(source: SourcePicture, measures: list[Measure]) -> Appearance:
    known, more = _sorted_out(_gathered([each.look(source) for each in measures]), Appearance)
    return Appearance(**known, more=more)


def _gathered(found: list[Figures]) -> Figures:
    gathered: Figures = {}
    for figures in found:
        assert not gathered.keys() & figures.keys(), "two measures give the same figure"
        gathered |= figures
    return gathered


def _sorted_out(
    figures: Figures, kind: type[msgspec.Struct]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Divide figures into those that have a field and the others."""
    fields = set(kind.__struct_fields__)
    known = {name: value for name, value in figures.items() if name in fields}
    more: dict[str, float] = {}
    for name, value in figures.items():
        if name not in fields:
            assert isinstance(value, int | float), f"{name} is no single number and has no field"
            more[name] = value
    return known, more
