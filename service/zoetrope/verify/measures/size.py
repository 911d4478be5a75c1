"""Width and height."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.verdict import Doubt, Measured
from ..expected import Expected
from ..measure import Measure


class SizeMeasure(Measure):
    """A clip has the size that was asked for, or comes larger than what it was made from."""

    rank = 20
    of_pictures = False

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare the size with what was asked for."""
        size, wanted = (found.width, found.height), (expected.width, expected.height)
        if expected.size == "same" and expected.width and size != wanted:
            sentence = f"It is {size[0]}x{size[1]} instead of {wanted[0]}x{wanted[1]}."
            yield Doubt("size", sentence)
        if expected.size == "larger" and any(s <= w for s, w in zip(size, wanted, strict=True)):
            sentence = (
                f"It is {size[0]}x{size[1]}, no larger than the {wanted[0]}x{wanted[1]} it came"
                " from."
            )
            yield Doubt("size", sentence)
