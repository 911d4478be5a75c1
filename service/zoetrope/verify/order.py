"""What a checker is asked and what it answers, apart from the service's side: the process loads nothing else of it."""

from __future__ import annotations

import msgspec

from ..domain.verdict import Doubt, Measured
from .expected import Expected

# The worker's first byte: what goes wrong after it, goes wrong with the video.
READY = b"\0"


class MeasureAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the worker says: figures and doubts, or why there are none."""

    measured: Measured | None = None
    findings: tuple[Doubt, ...] = ()
    unreadable: str = ""  # the video's fault
    errno: int = 0  # the disk's


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is asked to do with a video; empty paths stand for nothing."""

    video: str
    expected: Expected
    image: str = ""
    poster: str = ""
    strip: bool = False  # take the graph that ComfyUI wrote out of its tags, before anything else
    cpu_seconds: int = 0
