"""The plan of a job: its ticket made exact for one picture and one class of GPU memory."""

from __future__ import annotations

import msgspec

from .values import Scalar


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket made exact for one picture: what will really be asked of the engine."""

    width: int = 0
    height: int = 0
    frames: int = 0
    kept: int = 0  # of them; a loop's last frame repeats its first and is dropped
    fps: float = 0.0
    seed: int = 0
    parameters: dict[str, Scalar] = {}  # what the ticket said
    effective: dict[str, Scalar] = {}  # every parameter, defaults and prompts included
    memory: int = 0  # gigabytes of the smallest class of GPUs that it is made for
    set: dict[str, Scalar] = {}  # inputs that this class of GPUs allows, by their places
    notes: tuple[str, ...] = ()  # corrections that a person should hear of
