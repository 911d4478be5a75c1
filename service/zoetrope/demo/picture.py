"""The picture that the demo draws itself: a zoetrope at dusk, a horse galloping below its slits."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 832, 480
# Drawn larger and then made smaller, which makes every edge smooth.
FINE = 3

Colour = tuple[int, int, int]

SKY: tuple[tuple[float, Colour], ...] = (
    (0.0, (16, 22, 58)),
    (0.35, (52, 48, 104)),
    (0.62, (168, 92, 110)),
    (0.8, (244, 166, 108)),
    (1.0, (255, 214, 150)),
)
HILLS: tuple[tuple[int, int, Colour], ...] = (
    (318, 26, (104, 72, 112)),
    (352, 20, (70, 52, 94)),
    (392, 14, (40, 34, 68)),
)
LAMP: Colour = (255, 205, 116)
DRUM_X, DRUM_TOP, DRUM_BOTTOM = 300, 176, 344
RADIUS, TILT = 148, 34
SLITS = 12


def draw() -> Image.Image:
    """Draw the scene at its size."""
    scene = _sky()
    for number, (base, height, colour) in enumerate(HILLS):
        scene.paste(colour, mask=_hill(base, height, number))
    _light(scene, (DRUM_X, 250), 300, (255, 150, 70), 0.5)
    _drum(scene)
    _light(scene, (DRUM_X, DRUM_TOP), 120, (255, 226, 160), 0.75)
    return scene.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _canvas(mode: str = "L", colour: int | Colour = 0) -> Image.Image:
    return Image.new(mode, (WIDTH * FINE, HEIGHT * FINE), colour)


def _fine(*numbers: float) -> list[float]:
    return [number * FINE for number in numbers]


def _sky() -> Image.Image:
    scene = _canvas("RGB")
    pen = ImageDraw.Draw(scene)
    for y in range(HEIGHT * FINE):
        height = min(1.0, y / FINE / 370)
        above = max(stop for stop in SKY if stop[0] <= height)
        below = min(stop for stop in SKY if stop[0] >= height)
        share = (height - above[0]) / ((below[0] - above[0]) or 1.0)
        colour = tuple(round(a + (b - a) * share) for a, b in zip(above[1], below[1], strict=True))
        pen.line([(0, y), (WIDTH * FINE, y)], fill=colour)
    chance = random.Random(1834)  # the year of the zoetrope  # noqa: S311
    for _ in range(90):
        x, y = chance.uniform(0, WIDTH), chance.uniform(0, 190) ** 0.97
        size, light = chance.uniform(0.5, 1.3), chance.randint(120, 235)
        pen.ellipse(_fine(x - size, y - size, x + size, y + size), fill=(light, light, 225))
    _light(scene, (646, 96), 130, (255, 240, 210), 0.45)
    ImageDraw.Draw(scene).ellipse(_fine(610, 60, 682, 132), fill=(255, 244, 218))
    return scene


def _hill(base: int, height: int, number: int) -> Image.Image:
    mask = _canvas()
    ridge = [
        (
            x * FINE,
            FINE
            * (
                base
                + height * math.sin(x / 118 + 2.1 * number)
                + height / 3 * math.sin(x / 37 + 5 * number)
            ),
        )
        for x in range(0, WIDTH + 4, 4)
    ]
    corners = [(WIDTH * FINE, HEIGHT * FINE), (0, HEIGHT * FINE)]
    ImageDraw.Draw(mask).polygon([*ridge, *corners], fill=255)
    return mask


def _light(
    scene: Image.Image, where: tuple[int, int], radius: int, colour: Colour, strength: float
) -> None:
    """Add a soft light to the scene; light adds up, so it never darkens what it falls on."""
    # A glow has no edges: a small picture of it, made larger, is as good and much quicker.
    small = Image.new("RGB", (WIDTH // 4, HEIGHT // 4))
    x, y = where[0] / 4, where[1] / 4
    for step in range(24, 0, -1):
        reach = radius / 4 * step / 24
        share = strength * (1 - step / 24) ** 2
        dim = tuple(round(part * share) for part in colour)
        ImageDraw.Draw(small).ellipse([x - reach, y - reach, x + reach, y + reach], fill=dim)
    glow = small.filter(ImageFilter.GaussianBlur(4)).resize(scene.size, Image.Resampling.BICUBIC)
    scene.paste(ImageChops.screen(scene, glow))


def _drum(scene: Image.Image) -> None:
    pen = ImageDraw.Draw(scene)
    left, right = DRUM_X - RADIUS, DRUM_X + RADIUS
    # The foot, and its shadow on the ground.
    pen.ellipse(_fine(left + 10, 428, right - 10, 468), fill=(24, 20, 42))
    pen.ellipse(_fine(DRUM_X - 66, 424, DRUM_X + 66, 454), fill=(66, 40, 32))
    pen.rectangle(_fine(DRUM_X - 11, DRUM_BOTTOM, DRUM_X + 11, 436), fill=(92, 56, 40))
    # The wall: a column at a time, lit from the front, dark where it turns away.
    for step in range(-RADIUS * FINE, RADIUS * FINE):
        across = step / (RADIUS * FINE)
        sag = TILT * math.sqrt(1 - across**2)
        shade = 0.42 + 0.58 * math.sqrt(1 - across**2)
        colour = tuple(round(part * shade) for part in (126, 70, 44))
        x = DRUM_X * FINE + step
        ends = _fine(DRUM_TOP + sag, DRUM_BOTTOM + sag)
        pen.line([(x, ends[0]), (x, ends[1])], fill=colour)
    for low, colour in ((DRUM_BOTTOM, (196, 132, 74)), (DRUM_TOP + 8, (172, 108, 62))):
        ring = _fine(left, low - TILT, right, low + TILT)
        pen.arc(ring, 2, 178, fill=colour, width=3 * FINE)
    _slits(pen)
    # The open top, with the light inside.
    pen.ellipse(_fine(left, DRUM_TOP - TILT, right, DRUM_TOP + TILT), fill=(150, 88, 52))
    pen.ellipse(_fine(left + 6, DRUM_TOP - TILT + 4, right - 6, DRUM_TOP + TILT - 3), fill=LAMP)
    inner = _fine(left + 34, DRUM_TOP - TILT + 15, right - 34, DRUM_TOP + TILT - 2)
    pen.ellipse(inner, fill=(255, 236, 184))


def _slits(pen: ImageDraw.ImageDraw) -> None:
    """Cut the slits, evenly round the drum, and show a horse's stride below them."""
    for number in range(SLITS):
        angle = math.pi * (number + 0.5) / SLITS
        facing = math.sin(angle)
        x = DRUM_X - math.cos(angle) * RADIUS
        half = 6.5 * facing
        top = DRUM_TOP + TILT * facing + 26
        pen.rectangle(_fine(x - half, top, x + half, top + 62), fill=LAMP)
    for number in range(SLITS):
        angle = math.pi * (number + 1) / SLITS
        facing = math.sin(angle)
        if number < SLITS - 1 and facing > 0.3:
            x = DRUM_X - math.cos(angle) * RADIUS
            _horse(pen, x, DRUM_TOP + TILT * facing + 118, 0.62, facing, number)


def _horse(
    pen: ImageDraw.ImageDraw, x: float, y: float, size: float, narrow: float, phase: int
) -> None:
    """Draw one phase of a gallop on the strip below the slits."""
    ink: Colour = (250, 206, 140)
    lift = 2.5 * math.sin(phase * 1.7)

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [
            ((x + px * size * narrow) * FINE, (y + (py + lift) * size) * FINE) for px, py in points
        ]

    swing = math.sin(phase * 1.7)
    pen.ellipse([*at((-15, -7))[0], *at((13, 7))[0]], fill=ink)
    pen.polygon(
        at((6, -6), (15, -20), (21, -17), (27, -11), (24, -8), (18, -10), (12, 4)), fill=ink
    )
    pen.line(at((-14, -3), (-24, -6 - 3 * swing)), fill=ink, width=round(2.6 * FINE * size))
    for hip, reach in ((-11, -9 * swing), (-8, 7 * swing), (8, -8 * swing), (11, 10 * swing)):
        knee = (hip + reach * 0.6, 12)
        foot = (hip + reach * 1.4, 20 - abs(swing) * 2)
        pen.line(at((hip, 4), knee, foot), fill=ink, width=round(2.6 * FINE * size))


if __name__ == "__main__":
    draw().save(Path(sys.argv[1]))
