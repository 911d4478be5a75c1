"""The picture that the demo draws itself: a lit zoetrope drum at dusk."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 832, 480


def draw() -> Image.Image:
    """Draw the scene: dusk, hills, a moon, and the drum with its slits glowing from inside."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(image)
    for y in range(HEIGHT):
        t = y / HEIGHT
        pen.line(
            [(0, y), (WIDTH, y)],
            fill=(int(28 + 190 * t**2), int(36 + 100 * t**1.6), int(84 + 40 * t)),
        )
    pen.ellipse([620, 50, 690, 120], fill=(246, 236, 205))
    for base, colour in ((330, (58, 52, 96)), (375, (40, 38, 74)), (415, (26, 26, 52))):
        ridge = [
            (x, base + 26 * math.sin(x / 97 + base) + 12 * math.sin(x / 31 + 2 * base))
            for x in range(0, WIDTH + 8, 8)
        ]
        pen.polygon([(0, HEIGHT), *ridge, (WIDTH, HEIGHT)], fill=colour)
    glow = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(glow).ellipse([250, 130, 550, 430], fill=150)
    glow = glow.filter(ImageFilter.GaussianBlur(60))
    image = Image.composite(Image.new("RGB", image.size, (255, 176, 84)), image, glow)
    _drum(ImageDraw.Draw(image))
    return image


def _drum(pen: ImageDraw.ImageDraw) -> None:
    left, right, top, bottom = 275, 525, 190, 385
    pen.rectangle([392, bottom, 408, 440], fill=(70, 44, 30))
    pen.ellipse([330, 428, 470, 456], fill=(60, 38, 26))
    pen.ellipse([left, bottom - 34, right, bottom + 34], fill=(74, 42, 26))
    pen.rectangle([left, top, right, bottom], fill=(96, 54, 32))
    pen.ellipse([left, top - 34, right, top + 34], fill=(255, 205, 110))
    pen.ellipse([left + 14, top - 24, right - 14, top + 26], fill=(255, 232, 168))
    for n in range(11):
        # Slits stand evenly on the drum, so they crowd together where it turns away.
        x = (left + right) / 2 - math.cos(math.pi * (n + 0.5) / 11) * (right - left) / 2
        half = max(1.5, 6 * math.sin(math.pi * (n + 0.5) / 11))
        sag = 30 * math.sin(math.pi * (n + 0.5) / 11)
        pen.rectangle([x - half, top + 40 + sag, x + half, top + 118 + sag], fill=(255, 214, 128))
    pen.arc([left, bottom - 34, right, bottom + 34], 0, 180, fill=(140, 84, 46), width=5)


if __name__ == "__main__":
    draw().save(Path(sys.argv[1]))
