"""The poster: the frame that shows most and lies nearest to the middle."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from .measures.black import BLACK
from .picture import Frame


class Poster:
    """Chooses among the frames that are looked at closely."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._score = 0.0
        self._image: Image.Image | None = None

    def see(self, frame: Frame) -> None:
        """Keep the frame if it shows more, or lies nearer to the middle."""
        if not frame.sampled:
            return
        off = abs(frame.number - self._total / 2) / max(1, self._total)
        score = (1.0 if frame.mean >= BLACK else frame.mean / BLACK) + (1 - off)
        if self._image is None or score > self._score:
            self._score = score
            self._image = Image.fromarray(frame.picture.rgb)

    def save(self, file: Path) -> None:
        """Write it, if there was a frame at all."""
        if self._image is not None:
            self._image.save(file, quality=88)
