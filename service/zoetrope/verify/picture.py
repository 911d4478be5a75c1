"""What a measure looks at: one picture, the source image in the video's frame, or a frame on its way."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from ..lazy import lazy
from .planes import Luma, Pixels, plain

# Motion shows at this short edge as well as at full size, for a fraction of the work.
SMALL = 160


class PicturePlanes:
    """A picture as colours, brightness and the two planes of colour differences."""

    def __init__(self, rgb: Pixels, luma: Pixels, colour: Pixels, scale: float) -> None:
        self.rgb = rgb
        self.luma = luma
        self.colour = colour
        # The size at which it is compared, besides its own: of no use where the source is smaller.
        self.scale = scale


class SourcePicture(PicturePlanes):
    """The source image, placed in the video's frame as ComfyUI places it."""

    def __init__(self, file: Path, size: tuple[int, int]) -> None:
        Image.MAX_IMAGE_PIXELS = None  # the inbox has measured it
        with Image.open(file) as image:
            width, height = image.size
            scale = min(width / size[0], height / size[1])
            left, top = (width - size[0] * scale) / 2, (height - size[1] * scale) / 2
            # Not smoothed while made smaller, as torch does it: the grain of a large photograph stays.
            fitted = image.convert("RGB").transform(
                size,
                Image.Transform.EXTENT,
                (left, top, width - left, height - top),
                Image.Resampling.BILINEAR,
            )
        super().__init__(
            rgb=np.asarray(fitted),
            luma=np.asarray(fitted.convert("L")),
            colour=np.asarray(fitted.convert("YCbCr"))[..., 1:],
            # A small picture made large has no fine detail, and an engine's own is no noise: compared
            # at the picture's size, but no smaller than leaves the noise of latents to be seen.
            scale=max(0.5, min(1.0, scale)),
        )


class Frame:
    """A frame on its way through the measures; each form of it is made once, by whoever asks first."""

    def __init__(self, raw: av.VideoFrame, number: int, *, sampled: bool, scale: float) -> None:
        self.number = number
        self.sampled = sampled  # one of the few that are looked at closely
        self.damaged = raw.is_corrupt
        self._raw = raw
        self._scale = scale

    @lazy
    def luma(self) -> Pixels:
        """The brightness of each pixel."""
        return plain(self._raw, "gray")

    @lazy
    def small(self) -> Luma:
        """Every few pixels of it, enough for brightness and motion."""
        step = max(1, min(self._raw.width, self._raw.height) // SMALL)
        return self.luma[::step, ::step].astype(np.float32)

    @lazy
    def mean(self) -> float:
        """The mean brightness."""
        return float(self.small.mean())

    @lazy
    def picture(self) -> PicturePlanes:
        """All of it."""
        colour = plain(self._raw, "yuv444p")[1:].transpose(1, 2, 0)
        return PicturePlanes(plain(self._raw, "rgb24"), self.luma, colour, self._scale)
