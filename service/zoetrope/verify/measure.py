"""What every measure has: figures that are noted while the frames go by, and the doubts that follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from ..domain.verdict import Doubt, Grain, Measured
from .expected import Expected
from .picture import Frame, PicturePlanes, SourcePicture

Figures = dict[str, float | Grain | None]


class Measure:
    """One thing that may be wrong with a video; a file in `measures/` holds one such class, and is found there.

    A figure that `Measured` or `Look` has a field for goes there, any other into their `more`.
    """

    # In which order the measures are judged.
    rank: ClassVar[int] = 50
    # Whether it is left out where the container alone is asked for.
    of_pictures: ClassVar[bool] = True
    # Whether what it finds explains every later doubt: a black video is still and clipped as well.
    explains_all: ClassVar[bool] = False

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Note what there is to note of one frame; `source` is the picture that it comes from."""

    def figures(self) -> Figures:
        """Give what was noted, once all frames have gone by."""
        return {}

    @staticmethod
    def look(picture: PicturePlanes) -> Figures:
        """Give what there is to say of a single picture, be it a frame or the source."""
        del picture
        return {}

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Say what is doubtful, with the figure and what it should be."""
        del found, expected
        yield from ()


def mean(values: list[float] | list[bool]) -> float:
    """Give the mean; 0 of nothing."""
    return float(np.mean(values)) if values else 0.0


def median(values: list[float]) -> float:
    """Give the median; 0 of nothing."""
    return float(np.median(values)) if values else 0.0
