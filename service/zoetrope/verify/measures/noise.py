"""Noise that is left: of a hand-over that went wrong, of a kernel that is wrong on this GPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...domain.verdict import NONE, Doubt, Grain, Measured
from ..expected import Expected
from ..measure import Figures, Measure, median
from ..picture import Frame, PicturePlanes, SourcePicture
from ..planes import Luma, halved, reduced

ENOUGH = 100_000
# Mean difference at a sixteenth of the size up to which the first frame shows the source. Sound first
# frames measure at most 4, other pictures 20 and more.
ALIKE = 12.0
# Grain of 255 at full, half and quarter size, beyond what the source has. Sound clips measure less
# than their source; a picture that fills with detail on the way needs room.
GRAIN = (5.0, 4.0, 6.0)
SOURCE_SHARE = 1.5
# What is left at a quarter of the size when the source is taken from the first frame, and grain that
# the source does not have. Sound hand-overs leave at most 0.4 of the source's own grain there; the
# mildest broken one (low steps from 4 of 20 instead of 5) 5 on a line drawing, 9 and more elsewhere.
RESIDUE = 2.5
RESIDUE_SHARE = 0.45
UNSEEN = 3.0
UNSEEN_SHARE = 1.05
# Grain of the colours: photographs measure up to 2.3, colour noise of 30 a channel 4.5.
COLOUR = 3.0


class Noise(Measure):
    """Grain of brightness and colours, compared with that of the source."""

    def __init__(self) -> None:
        self._grain: list[Grain] = []
        self._colour: list[float] = []
        self._residue: float | None = None

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Compare the first frame with the source, and note the grain of a few."""
        if frame.number == 0 and source is not None:
            self._residue = _residue(frame, source)
        if frame.sampled:
            self._grain.append(_grain(frame.picture))
            self._colour.append(_colour(frame.picture))

    def figures(self) -> Figures:
        """Give the usual grain, and what is left of the first frame without the source."""
        full, half, quarter = np.median(self._grain, axis=0) if self._grain else NONE
        return {
            "grain": (float(full), float(half), float(quarter)),
            "colour": median(self._colour),
            "residue": self._residue,
        }

    @staticmethod
    def look(picture: PicturePlanes) -> Figures:
        """Give a picture's own grain."""
        return {"grain": _grain(picture), "colour": _colour(picture)}

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Say how much noise is left, where it shows most."""
        del expected
        if sentence := _noise(found):
            yield Doubt("noise", sentence)


def _noise(found: Measured) -> str:
    own = found.image.grain if found.image else NONE
    for grain, texture, most in zip(found.grain, own, GRAIN, strict=True):
        if grain > (limit := most + SOURCE_SHARE * texture):
            return f"Noise is left in it: grain {grain:.1f} of 255 (at most {limit:.1f})."
    coarse, texture = found.grain[-1], own[-1]
    limit = RESIDUE + RESIDUE_SHARE * texture
    if (
        found.residue is not None
        and found.residue > limit
        and coarse > max(UNSEEN, UNSEEN_SHARE * texture)
    ):
        return (
            f"Noise is left in it that the picture does not have: grain {found.residue:.1f} of 255"
            f" (at most {limit:.1f})."
        )
    limit = COLOUR + SOURCE_SHARE * (found.image.colour if found.image else 0.0)
    if found.colour > limit:
        return (
            f"Noise is left in its colours: grain {found.colour:.1f} of 255 (at most {limit:.1f})."
        )
    return ""


def _residue(frame: Frame, source: SourcePicture) -> float | None:
    """Measure what of the first frame is not of the source; None where it shows something else."""
    rest = reduced(frame.luma, source.scale) - reduced(source.luma, source.scale)
    coarse = rest
    for _ in range(4):
        coarse = halved(coarse) if min(coarse.shape) > 1 else coarse
    alike = float(np.abs(coarse - np.median(coarse)).mean()) <= ALIKE
    return estimate(rest)[2] if alike else None


def _grain(picture: PicturePlanes) -> Grain:
    return estimate(reduced(picture.luma, picture.scale))


def _colour(picture: PicturePlanes) -> float:
    # Every other pixel, as 4:2:0 has it.
    planes = (picture.colour[::2, ::2, n] for n in range(2))
    return max(estimate(reduced(plane, picture.scale))[1] for plane in planes)


def estimate(x: Luma) -> Grain:
    """Estimate the noise of a picture at full, half and quarter size, from its second differences.

    The operator answers to neither flat areas nor straight edges nor gradients, and the median
    passes over textures that only part of a picture has. Noise of the latents, which are an eighth
    of the video's size, shows most at a quarter.
    """
    found = []
    for _ in range(3):
        rows = x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:]
        both = rows[:-2] - 2 * rows[1:-1] + rows[2:]
        # A tenth of a million places tell the median as well as all of them.
        few = np.abs(both.reshape(-1)[:: max(1, both.size // ENOUGH) | 1])
        found.append(float(np.median(few)) / (6 * 0.6745) if few.size else 0.0)
        x = halved(x)
    return (found[0], found[1], found[2])
