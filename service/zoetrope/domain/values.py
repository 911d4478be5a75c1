"""The values that a job is made of: what was given, what was asked for, what was made, what went wrong."""

from __future__ import annotations

import msgspec

Scalar = str | int | float | bool


class SourceImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture, or a video, that was opened, decoded and measured; its files lie in the work folder."""

    name: str  # as the person named it
    sha256: str  # of the bytes as they arrived
    size: int
    format: str
    width: int  # upright
    height: int
    source: str  # the untouched file in the work folder
    file: str  # the source itself, or the picture made upright, opaque and 8 bit; a video's first frame
    small: str = ""  # a small copy, for people to know it by
    frames: int = 0  # of a video
    fps: float = 0.0
    changes: tuple[str, ...] = ()
    # The hash of what is seen in it, however the file says it; "" where it was not taken.
    pixels: str = ""


class Ticket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the person asked for; absent values are the recipe's to decide."""

    recipe: str
    preset: tuple[str, ...] = ()  # what they stand for is said in the other values
    prompt: str | None = None
    negative: str | None = None
    seed: int | None = None
    seconds: float | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    name: str | None = None
    review: bool | None = None
    auto_resize: bool = True
    parameters: dict[str, Scalar] = {}


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong with an attempt; `kind` is what the fallbacks are chosen by."""

    kind: str
    message: str
    node: str = ""
    node_type: str = ""
    exception: str = ""
    looks: tuple[str, ...] = ()  # what its video looks like, if that is what went wrong


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a stage made; `file` lies in the job's work folder until it is published."""

    file: str
    size: int
    sha256: str
