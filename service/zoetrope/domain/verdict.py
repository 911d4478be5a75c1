"""What verification says of a file: the figures that were measured, and the doubts that follow from them."""

from __future__ import annotations

import msgspec

Grain = tuple[float, float, float]
NONE: Grain = (0.0, 0.0, 0.0)

LOSSLESS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "png", "rawvideo"})


class Appearance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a picture looks; brightness and grain are of 255, shares of 1."""

    luma: float
    clipped: float
    grain: Grain  # at full, half and quarter size
    colour: float  # grain of the colours
    more: dict[str, float] = {}  # by measures that have no field of their own


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a video; brightness and differences are of 255, shares of 1."""

    frames: int
    fps: float
    duration: float
    width: int
    height: int
    codec: str
    size: int
    luma: float
    dark: float  # share of black frames
    clipped: float
    motion: float
    repeated: float
    grain: Grain
    colour: float = 0.0
    damaged: int = 0  # frames that the decoder had to make up
    residue: float | None = None  # of the first frame next to the source image, where it shows that
    image: Appearance | None = msgspec.field(default=None, name="still")
    more: dict[str, float] = {}  # by measures that have no field of their own


class Doubt(msgspec.Struct, frozen=True):
    """One doubt, with the figure behind it."""

    key: str
    sentence: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What verification says of one file."""

    file: str
    measured: Measured | None = None
    findings: tuple[Doubt, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there is no doubt."""
        return not self.findings

    @property
    def sentence(self) -> str:
        """All doubts in one line."""
        return " ".join(finding.sentence for finding in self.findings)
