"""What a stage's video has to be."""

from __future__ import annotations

from typing import Literal

import msgspec


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage's video has to be; `quality` off looks at the container alone, `motion` off lets it stand still."""

    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    size: Literal["same", "larger", "any"] = "same"
    quality: bool = True
    motion: bool = True
