"""Whether some of the frames show nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.verdict import Doubt, Measured
from ..expected import Expected
from ..measure import Figures, Measure, mean
from ..picture import Frame, SourcePicture
from .black import BLACK

# Share of such frames: a fade at the end of a clip stays below it.
DARK = 0.25


class Dark(Measure):
    """A clip that turns black on its way."""

    rank = 40

    def __init__(self) -> None:
        self._dark: list[bool] = []

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Note whether it is black."""
        del source
        self._dark.append(frame.mean < BLACK)

    def figures(self) -> Figures:
        """Give the share of black frames."""
        return {"dark": mean(self._dark)}

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare the share with that of a fade; of a dark source nothing can be said."""
        del expected
        own = found.image.luma if found.image else 255.0
        if found.dark > DARK and own >= 2 * BLACK:
            sentence = f"{found.dark:.0%} of its frames are black (at most {DARK:.0%})."
            yield Doubt("black", sentence)
