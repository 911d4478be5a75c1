"""All rules, one small function each, in modules by what they look at."""

from __future__ import annotations

from ..registry import registered
from . import (
    attention,
    decode,
    ends,
    frames,
    guidance,
    interpolate,
    loras,
    models,
    picture,
    prompt,
    refusals,
    sampling,
    stages,
    structure,
    upscale,
    upscale_memory,
    wrapper,
)

__all__ = [
    "RULES",
    "attention",
    "decode",
    "ends",
    "frames",
    "guidance",
    "interpolate",
    "loras",
    "models",
    "picture",
    "prompt",
    "refusals",
    "sampling",
    "stages",
    "structure",
    "upscale",
    "upscale_memory",
    "wrapper",
]

#: Every rule, in the order of its id.
RULES = dict(sorted(registered().items()))
