"""RIFE's place: frames between frames, with what moves moved half-way."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..execute import Context
from ..values import Frames, Handle, Result
from .registry import plays

#: Movement is searched for on a small grey copy, in blocks.
_SMALL = 96
_REACH = 4


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
        right, down = shift_between(frames[i], frames[i + 1])
        for k in range(1, multiplier):
            share = k / multiplier
            before = _moved(frames[i], right * share, down * share)
            after = _moved(frames[i + 1], -right * (1 - share), -down * (1 - share))
            weight = np.uint16(round(share * 256))
            mixed = before.astype(np.uint16) * (256 - weight) + after.astype(np.uint16) * weight
            out[i * multiplier + k] = (mixed + 128) >> 8
        context.breathe()
        if steps:
            context.step(i + 1, len(frames) - 1)
    return out


def shift_between(first: Frames, second: Frames) -> tuple[float, float]:
    """Return how far the picture as a whole has moved, in pixels right and down."""
    scale = max(1.0, max(first.shape[:2]) / _SMALL)
    a, b = _grey(first, scale), _grey(second, scale)
    reach = min(_REACH, min(a.shape) // 4)
    best, where = float("inf"), (0, 0)
    inner = a[reach : a.shape[0] - reach, reach : a.shape[1] - reach]
    errors: dict[tuple[int, int], float] = {}
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            part = b[reach + y : a.shape[0] - reach + y, reach + x : a.shape[1] - reach + x]
            error = float(np.mean(np.square(part - inner)))
            errors[x, y] = error
            if error < best:
                best, where = error, (x, y)
    x, y = where
    return (
        (x + _peak(errors, where, (1, 0))) * scale,
        (y + _peak(errors, where, (0, 1))) * scale,
    )


def _peak(
    errors: dict[tuple[int, int], float], at: tuple[int, int], axis: tuple[int, int]
) -> float:
    """Find the minimum between grid points by a parabola."""
    before = errors.get((at[0] - axis[0], at[1] - axis[1]))
    after = errors.get((at[0] + axis[0], at[1] + axis[1]))
    if before is None or after is None:
        return 0.0
    bend = before - 2 * errors[at] + after
    return 0.0 if bend <= 1e-9 else 0.5 * (before - after) / bend


def _grey(frame: Frames, scale: float) -> npt.NDArray[np.float32]:
    size = (max(4, round(frame.shape[1] / scale)), max(4, round(frame.shape[0] / scale)))
    small = Image.fromarray(frame).convert("L").resize(size, Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def _moved(frame: Frames, right: float, down: float) -> Frames:
    """Move a picture by whole pixels, its edge repeated into what opens up."""
    x, y = round(right), round(down)
    if x == 0 and y == 0:
        return frame
    height, width = frame.shape[:2]
    rows = np.clip(np.arange(height) - y, 0, height - 1)
    columns = np.clip(np.arange(width) - x, 0, width - 1)
    return frame[rows][:, columns]
