"""Whether the picture is clipped to black and white."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.verdict import Doubt, Measured
from ..expected import Expected
from ..measure import Figures, Measure, median
from ..picture import Frame, PicturePlanes, SourcePicture

# A channel this close to black or white carries no picture any more.
ENDS = (6, 249)
# Share of channels clipped to black or white, beyond what the source has: garbage latents clip nearly
# everything, and so does a drawing on white.
CLIPPED = 0.75
CLIPPED_MORE = 0.2


class Clipped(Measure):
    """Garbage in the latents clips nearly every channel."""

    rank = 60

    def __init__(self) -> None:
        self._shares: list[float] = []

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Note the share of burnt channels of a few frames."""
        del source
        if frame.sampled:
            self._shares.append(_share(frame.picture))

    def figures(self) -> Figures:
        """Give the usual share."""
        return {"clipped": median(self._shares)}

    @staticmethod
    def look(picture: PicturePlanes) -> Figures:
        """Give a picture's own share."""
        return {"clipped": _share(picture)}

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare it with the source's."""
        del expected
        burnt = max(CLIPPED, (found.image.clipped if found.image else 0.0) + CLIPPED_MORE)
        if found.clipped > burnt:
            share = f"{found.clipped:.0%}"
            sentence = f"{share} of it is clipped to black or white (at most {burnt:.0%})."
            yield Doubt("saturated", sentence)


def _share(picture: PicturePlanes) -> float:
    few = picture.rgb[::2, ::2]
    return float(((few <= ENDS[0]) | (few >= ENDS[1])).mean())
