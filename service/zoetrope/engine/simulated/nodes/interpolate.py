"""RIFE's place: frames between frames, with what moves moved half-way."""

import numpy as np

from ..context import Context
from ..drift import between, shift_between
from ..values import Frames, Handle, Result
from .registry import plays


@plays("RIFE VFI", "FILM VFI")
def vfi(context: Context, *, frames: Frames, multiplier: int, **_rest: object) -> Result:
    """Interpolate between frames: n of them become (n - 1) * multiplier + 1."""
    return Result((interpolated(context, frames, multiplier, steps=False),))


@plays("FrameInterpolationModelLoader")
def load_model(_: Context, *, model_name: str) -> Result:
    """Load an interpolation model."""
    return Result((Handle("interpolation", model_name),))


@plays("FrameInterpolate")
def native(context: Context, *, interp_model: Handle, images: Frames, multiplier: int) -> Result:
    """Interpolate between frames with the core's own node."""
    del interp_model
    return Result((interpolated(context, images, multiplier, steps=True),))


def interpolated(context: Context, frames: Frames, multiplier: int, *, steps: bool) -> Frames:
    """Make the frames between."""
    if multiplier < 2 or len(frames) < 2:
        return frames
    count = (len(frames) - 1) * multiplier + 1
    out = np.empty((count, *frames.shape[1:]), dtype=np.uint8)
    out[::multiplier] = frames
    for i in range(len(frames) - 1):
        shift = shift_between(frames[i], frames[i + 1])
        for k in range(1, multiplier):
            out[i * multiplier + k] = between(frames[i], frames[i + 1], shift, k / multiplier)
        context.breathe()
        if steps:
            context.step(i + 1, len(frames) - 1)
    return out
