"""Whether anything moves, and goes on moving."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...domain.verdict import Doubt, Measured
from ..expected import Expected
from ..measure import Figures, Measure, mean
from ..picture import Frame, SourcePicture
from ..planes import Luma

# The liveliest part of a frame: what a person looks at may be small on a plain ground.
LIVELY = 0.05
# Mean difference, of 255, of successive frames in the liveliest twentieth of the picture. Held
# pictures measure up to 0.11 after H.264; one that breathes by a thousandth of its size 0.13 to 5.
FROZEN = 0.12
# Change of that part, of 255, below which a frame repeats the one before.
REPEATS = 0.05
# Share of repeated frames: breathing ones reach 0.4 where the movement turns.
REPEATED = 0.75


class Motion(Measure):
    """A clip that stands still, or stops soon, was asked for nothing or was made of nothing."""

    def __init__(self) -> None:
        self._before: Luma | None = None
        self._steps: list[float] = []

    def see(self, frame: Frame, source: SourcePicture | None) -> None:
        """Note how much it differs from the frame before."""
        del source
        small = frame.small
        if self._before is not None and self._before.shape == small.shape:
            self._steps.append(_liveliest(np.abs(small - self._before)))
        self._before = small

    def figures(self) -> Figures:
        """Give the mean difference, and the share of frames that repeat the one before."""
        return {
            "motion": mean(self._steps),
            "repeated": mean([step < REPEATS for step in self._steps]),
        }

    @staticmethod
    def judge(found: Measured, expected: Expected) -> Iterator[Doubt]:
        """Compare both with held and with breathing pictures."""
        if not expected.motion:
            return
        if found.frames > 1 and found.motion < FROZEN:
            sentence = (
                f"Nothing moves: frames differ by {found.motion:.3f} of 255 where they differ most"
                f" (at least {FROZEN:g})."
            )
            yield Doubt("frozen", sentence)
        elif found.repeated > REPEATED:
            share = f"{found.repeated:.0%}"
            sentence = f"{share} of its frames repeat the one before (at most {REPEATED:.0%})."
            yield Doubt("frozen", sentence)


def _liveliest(change: Luma) -> float:
    few = max(1, int(change.size * LIVELY))
    return float(np.partition(change, -few, axis=None)[-few:].mean())
