"""How far a picture as a whole has moved, and the pictures between two of them."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from .values import Frames

#: Movement is searched for on a small grey copy, in blocks.
_SMALL = 96
_REACH = 4


def between(first: Frames, second: Frames, shift: tuple[float, float], share: float) -> Frames:
    """Make the picture at a share of the way: both are moved to where they meet, and mixed."""
    right, down = shift
    before = _moved(first, right * share, down * share)
    after = _moved(second, -right * (1 - share), -down * (1 - share))
    weight = np.uint16(round(share * 256))
    mixed = before.astype(np.uint16) * (256 - weight) + after.astype(np.uint16) * weight
    picture: Frames = ((mixed + 128) >> 8).astype(np.uint8)
    return picture


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
