"""The small mark on every frame that this engine saves, so that no one takes it for a model's work."""

import numpy as np

from .values import Frames

#: Three by five dots a letter, a row after a row.
_LETTERS = {
    "S": "011100010001110",
    "I": "111010010010111",
    "M": "101111111101101",
    "U": "101101101101111",
    "L": "100100100100111",
    "A": "010101111101101",
    "T": "111010010010010",
    "E": "111100110100111",
    "D": "110101101101110",
}
_WORD = "SIMULATED"


def _dots() -> Frames:
    rows = np.zeros((7, len(_WORD) * 4 + 1), dtype=np.uint8)
    for i, letter in enumerate(_WORD):
        pattern = np.array([int(dot) for dot in _LETTERS[letter]], dtype=np.uint8)
        rows[1:6, 1 + 4 * i : 4 + 4 * i] = pattern.reshape(5, 3)
    return rows


_STENCIL = _dots()


def stamped(frame: Frames) -> Frames:
    """Return a copy of one frame with the mark in its lower left corner."""
    height, width = frame.shape[:2]
    size = max(1, width // 400)
    stencil = np.kron(_STENCIL, np.ones((size, size), dtype=np.uint8))
    rows, columns = min(height, stencil.shape[0]), min(width, stencil.shape[1])
    corner = (slice(height - rows, height), slice(0, columns))
    out = frame.copy()
    # A dark picture gets a dim mark: a black video must still measure as black.
    light = np.uint8(min(255, int(frame[corner].mean()) * 2 + 12))
    shade = frame[corner] // 3
    out[corner] = np.where(stencil[:rows, :columns, None] > 0, light, shade)
    return out
