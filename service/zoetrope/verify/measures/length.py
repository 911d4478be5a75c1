"""How many frames there are, how fast they play, how long that lasts, and whether all of them are there."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.verdict import Doubt, Measured
from ..expected import Expected
from ..measure import Figures, Measure
from ..picture import Frame, SourcePicture


class LengthMeasure(Measure):
    """A clip is too short where a node stopped early, and damaged where a copy did."""

    rank = 10
    of_pictures = False

    def __init__(self) -> None:
        self._damaged = 0

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Count what the decoder had to make up."""
        del source
        self._damaged += frame.damaged

    def figures(self) -> Figures:
        """Give how many frames are damaged; the rest is the container's to say."""
        return {"damaged": self._damaged}

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare number, rate and duration with what was asked for."""
        doubts = 0
        if found.damaged:
            sentence = f"{found.damaged} of its {found.frames} frames are damaged."
            yield Doubt("unreadable", sentence)
            doubts += 1
        if expected.frames and found.frames != expected.frames:
            sentence = f"The video has {found.frames} frames instead of {expected.frames}."
            yield Doubt("frames", sentence)
            doubts += 1
        if expected.fps and abs(found.fps - expected.fps) > 0.01:
            sentence = f"It plays at {found.fps:g} frames a second instead of {expected.fps:g}."
            yield Doubt("fps", sentence)
            doubts += 1
        # A wrong count or rate makes a wrong duration as well; one true sentence is enough.
        lasts = found.frames / found.fps if found.fps else 0.0
        if not doubts and lasts and abs(found.duration - lasts) > 1.5 / found.fps:
            sentence = f"It lasts {found.duration:.2f} s instead of {lasts:.2f} s."
            yield Doubt("duration", sentence)
