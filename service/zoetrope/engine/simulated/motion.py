"""Reads a prompt's beats and turns a still picture into the movement they ask for."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .values import Frames, Scene

#: WAN 2.2 14B thinks in sixteen frames a second, whatever the file will say.
RATE = 16.0

_BEAT = re.compile(
    r"beat\s*\d+\s*[(\[]\s*([\d.]+)\s*s?\s*(?:-|–|—|to)\s*([\d.]+)\s*s?\s*[)\]]\s*:?\s*"  # noqa: RUF001
    r"(.*?)(?=beat\s*\d+\s*[(\[]|\Z)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Move:
    """Speeds of a movement, each in shares of the picture (or degrees) a second."""

    zoom: float = 0.0
    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0
    breath: float = 0.0
    sway: float = 0.0
    bob: float = 0.0
    blink: float = 0.0

    def plus(self, other: "Move") -> "Move":
        """Return both movements at once."""
        mine, theirs = vars(self), vars(other)
        return Move(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class Beat:
    """A stretch of time with its movement."""

    start: float
    end: float
    move: Move


@dataclass(frozen=True)
class Pose:
    """Where the picture is at one moment: offset in pixels, size, angle, brightness."""

    right: float
    down: float
    scale: float
    degrees: float
    light: float


#: What a prompt says shall not happen, up to the next comma.
_NOT = re.compile(r"\b(?:no|not|never|without|don't|doesn't)\b[^,.;:]*", re.IGNORECASE)

#: What words do. The first column is a pattern; several may match, and add up.
_WORDS: tuple[tuple[str, Move], ...] = (
    (r"zoom(s|ing)?\s+out|pulls?\s+(back|out)|dolly\s+out|wider", Move(zoom=-0.035)),
    (r"zoom(s|ing)?\s+in|push(es|ing)?\s+in|dolly\s+in|closer|approach", Move(zoom=0.04)),
    (r"(pan|track|slide|turn|look|move)\w*\s+(to\s+the\s+)?left", Move(right=0.03)),
    (r"(pan|track|slide|turn|look|move)\w*\s+(to\s+the\s+)?right", Move(right=-0.03)),
    (r"(tilt|crane|look|rise|lift)\w*\s+up|rising", Move(down=0.025)),
    (r"(tilt|crane|look|sink|lower)\w*\s+down|sinking", Move(down=-0.025)),
    (r"rotat|spin|roll|orbit", Move(turn=1.5)),
    (r"breath|inhal|exhal|chest|puls", Move(breath=0.012)),
    (r"blink|flicker|glimmer|wink", Move(blink=0.12)),
    (r"wind|hair|sway|wave|leaves|flag|water|grass|curtain", Move(sway=0.008)),
    (r"walk|run|step|jump|dance|nod|laugh", Move(bob=0.008)),
)


def beats(text: str, seconds: float) -> list[Beat]:
    """Read "Beat 1 (0-2s): …" passages; a text without any is one beat of the whole length."""
    found = [
        Beat(float(start), float(end), _moves(words))
        for start, end, words in _BEAT.findall(text)
        if _is_number(start) and _is_number(end)
    ]
    return found or [Beat(0.0, max(seconds, 0.001), _moves(text))]


def _is_number(text: str) -> bool:
    return text.count(".") <= 1 and text != "."


def _moves(text: str) -> Move:
    """Add up what the words ask for."""
    total = Move()
    wanted = _NOT.sub("", text)
    for pattern, move in _WORDS:
        if re.search(rf"\b(?:{pattern})", wanted, re.IGNORECASE):
            total = total.plus(move)
    return total


def pose(plan: Sequence[Beat], seconds: float, seed: int, width: int, height: int) -> Pose:
    """Say where the picture is after some seconds: all movement so far, and a gentle drift."""
    scale, right, down, turn, light = 0.0, 0.0, 0.0, 0.0, 1.0
    for beat in plan:
        inside = min(max(seconds - beat.start, 0.0), beat.end - beat.start)
        if inside <= 0:
            continue
        move = beat.move
        scale += move.zoom * inside + move.breath * math.sin(2 * math.pi * 0.4 * inside)
        right += move.right * inside + move.sway * math.sin(2 * math.pi * 0.5 * inside)
        down += move.down * inside + move.bob * math.sin(2 * math.pi * 1.2 * inside)
        turn += move.turn * inside
        # Eyes close once every two seconds, for a moment.
        light -= move.blink * max(0.0, math.sin(math.pi * inside)) ** 16
    # No video stands still: unknown words drift too, each seed in its own direction.
    angle = (seed % 360) * math.pi / 180
    reach = math.sin(2 * math.pi * seconds / 4)
    drift_x = max(0.012 * width, 3.0) * math.cos(angle) * reach
    drift_y = max(0.012 * height, 3.0) * math.sin(angle) * reach
    return Pose(right * width + drift_x, down * height + drift_y, 1 + scale, turn, light)


def film(scene: Scene, text: str, seed: int, every: int = 4) -> Frames:
    """Make the frames that a scene should show, one of `every`, starting with the first."""
    indices = list(range(0, scene.length, every))
    plan = beats(text, scene.length / RATE)
    start = scene.start if scene.start is not None else _invented(scene, text, seed)
    if scene.end is None:
        # A start of several frames is given footage: it stays, and its last frame moves on.
        given = min(len(start), scene.length)
        canvas = _Canvas(start[given - 1])
        return np.stack(
            [
                start[i] if i < given else canvas.at(_pose_at(plan, i - given + 1, seed, scene))
                for i in indices
            ]
        )
    first, last = _Canvas(start[0]), _Canvas(scene.end[-1])
    frames = []
    for i in indices:
        share = i / max(1, scene.length - 1)
        # Both pictures stand still at their own end of the film.
        moment = _calmed(_pose_at(plan, i, seed, scene), math.sin(math.pi * share))
        blend = share * share * (3 - 2 * share)
        mixed = (1 - blend) * first.at(moment).astype(np.float32) + blend * last.at(moment)
        frames.append(np.rint(mixed).astype(np.uint8))
    return np.stack(frames)


def _pose_at(plan: Sequence[Beat], frame: int, seed: int, scene: Scene) -> Pose:
    return pose(plan, frame / RATE, seed, scene.width, scene.height)


def _calmed(moment: Pose, share: float) -> Pose:
    """Return a share of a movement."""
    return Pose(
        moment.right * share,
        moment.down * share,
        1 + (moment.scale - 1) * share,
        moment.degrees * share,
        1 + (moment.light - 1) * share,
    )


def _invented(scene: Scene, text: str, seed: int) -> Frames:
    """Make a picture for a video that has none: soft colours chosen by text and seed."""
    source = np.random.default_rng([seed & 0xFFFFFFFF, len(text), sum(map(ord, text)) & 0xFFFF])
    small = source.integers(40, 216, size=(6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    return np.asarray(picture)[None]


class _Canvas:
    """A picture with its mirrored surroundings, to be looked at from any pose."""

    def __init__(self, picture: Frames) -> None:
        self.height, self.width = picture.shape[:2]
        self._pad = max(8, int(0.3 * max(self.width, self.height)))
        pad = self._pad
        mirrored = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
        self._image = Image.fromarray(mirrored)

    def at(self, moment: Pose) -> Frames:
        """Draw the picture in one pose."""
        centre_x, centre_y = self.width / 2, self.height / 2
        angle = math.radians(moment.degrees)
        cos, sin = math.cos(angle) / moment.scale, math.sin(angle) / moment.scale
        from_x, from_y = centre_x + moment.right, centre_y + moment.down
        matrix = (
            cos,
            sin,
            centre_x + self._pad - cos * from_x - sin * from_y,
            -sin,
            cos,
            centre_y + self._pad + sin * from_x - cos * from_y,
        )
        drawn = self._image.transform(
            (self.width, self.height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
        )
        frame = np.asarray(drawn)
        if moment.light != 1.0:
            frame = np.rint(frame * np.float32(moment.light)).clip(0, 255).astype(np.uint8)
        return frame
