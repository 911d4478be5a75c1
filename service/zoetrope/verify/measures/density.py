"""How many bytes the pictures take."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.verdict import LOSSLESS, Doubt, Measured
from ..expected import Expected
from ..measure import Measure

# Bytes for each pixel of each frame: a line drawing that hardly moves measures 0.0002 over 81 frames,
# a meadow 0.09, the documents' clips 0.007 to 0.043.
BYTES = (0.00002, 0.9)
# Below so many pixels in all, headers outweigh pictures and the band says nothing.
SMALL_CLIP = 2_000_000


class Density(Measure):
    """Too few bytes hold no picture, too many hold noise."""

    rank = 70

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare the file's size with what such clips take."""
        del expected
        pixels = found.width * found.height * found.frames
        density = found.size / max(1, pixels)
        low, high = BYTES
        few, many = density < low, density > high and found.codec not in LOSSLESS
        if pixels > SMALL_CLIP and (few or many):
            sentence = (
                f"{found.size} bytes are too {'few' if few else 'many'} for {found.frames}"
                f" frames of {found.width}x{found.height} ({low * pixels:.0f} to {high * pixels:.0f})."
            )
            yield Doubt("bytes", sentence)
