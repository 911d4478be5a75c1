"""Whether there is anything to be seen."""

from __future__ import annotations

from collections.abc import Iterator

from ...domain.verdict import Doubt, Measured
from ..expected import Expected
from ..measure import Figures, Measure, mean
from ..picture import Frame, PicturePlanes, SourcePicture

# Mean brightness of 255 below which nothing can be seen: NaN latents come out as plain black
# (ComfyUI #7020, #8573, #9629). A night sky full of stars measures 3, so the source counts as well.
BLACK = 6.0


class Black(Measure):
    """A wholly black clip is what NaN in the latents leaves."""

    rank = 30
    explains_all = True

    def __init__(self) -> None:
        self._means: list[float] = []

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Note the brightness."""
        del source
        self._means.append(frame.mean)

    def figures(self) -> Figures:
        """Give the mean brightness."""
        return {"luma": mean(self._means)}

    @staticmethod
    def look(picture: PicturePlanes) -> Figures:
        """Give a picture's brightness."""
        return {"luma": float(picture.luma[::2, ::2].mean())}

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare it with what can be seen, and with the source."""
        del expected
        own = found.image.luma if found.image else 255.0
        if found.luma < (floor := min(BLACK, own / 2)):
            sentence = (
                f"It is black: mean brightness {found.luma:.1f} of 255 (at least {floor:.1f})."
            )
            yield Doubt("black", sentence)
