"""Verification: a finished video is measured, and a doubtful one is a failed stage, never a success."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import ZoetropeError

log = logging.getLogger("zoetrope.jobs")

TIMEOUT = 300.0
UNDECODABLE = 3
VIDEOS = frozenset({".mp4", ".mkv", ".webm", ".mov"})

Grain = tuple[float, float, float]
NONE: Grain = (0.0, 0.0, 0.0)

# Mean brightness of 255 below which nothing can be seen: NaN latents come out as plain black
# (ComfyUI #7020, #8573, #9629), and night scenes stay above it.
BLACK = 6.0
# Mean difference of successive frames, of 255. A held portrait that only breathes measures about
# 0.3; a repeated frame after H.264 stays below 0.03.
FROZEN = 0.06
# Grain of 255 at full, half and quarter size, beyond what the source picture has. Sound hand-overs
# measure at most 0.7, 0.9 and 1.3; the mildest broken one (another step count in the second stage)
# 1.2, 5.4 and 10.9. Real pictures need room for fine detail.
GRAIN = (5.0, 4.0, 6.0)
STILL_SHARE = 1.5
# Share of pixels burnt to black or white: garbage latents clip nearly everything.
CLIPPED = 0.75
# Bytes for each pixel of each frame: the documents' clips lie at 0.007 to 0.043, and a still
# picture or pure noise lies far outside of a fifth to five times that.
BYTES = (0.0002, 0.9)
LOSSLESS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "png", "rawvideo"})
# Below so many pixels in all, headers outweigh pictures and the band says nothing.
SMALL_CLIP = 2_000_000


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
    dark: float
    clipped: float
    motion: float
    repeated: float
    grain: Grain  # at full, half and quarter size
    still_grain: Grain = NONE


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage's video has to be; `quality` off looks at the container alone."""

    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    size: Literal["same", "larger", "any"] = "same"
    quality: bool = True


class Finding(msgspec.Struct, frozen=True):
    """One doubt, with the figure behind it."""

    key: str
    sentence: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What verification says of one file."""

    file: str
    measured: Measured | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there is no doubt."""
        return not self.findings

    @property
    def sentence(self) -> str:
        """All doubts in one line."""
        return " ".join(finding.sentence for finding in self.findings)


def judge(found: Measured, expected: Expected) -> tuple[Finding, ...]:
    """Compare what was measured with what was asked for."""
    doubts: list[Finding] = []

    def doubt(key: str, sentence: str) -> None:
        doubts.append(Finding(key, sentence))

    if expected.frames and found.frames != expected.frames:
        doubt("frames", f"The video has {found.frames} frames instead of {expected.frames}.")
    if expected.fps and abs(found.fps - expected.fps) > 0.01:
        doubt("fps", f"It plays at {found.fps:g} frames a second instead of {expected.fps:g}.")
    size, wanted = (found.width, found.height), (expected.width, expected.height)
    if expected.size == "same" and expected.width and size != wanted:
        doubt("size", f"It is {size[0]}x{size[1]} instead of {wanted[0]}x{wanted[1]}.")
    if expected.size == "larger" and any(s <= w for s, w in zip(size, wanted, strict=True)):
        doubt(
            "size",
            f"It is {size[0]}x{size[1]}, no larger than the {wanted[0]}x{wanted[1]} it came from.",
        )
    if expected.quality:
        doubts += _looks(found)
    return tuple(doubts)


def _looks(found: Measured) -> list[Finding]:
    """Judge the pictures themselves."""
    if found.luma < BLACK:
        # Black is still and clipped as well; one true sentence is enough.
        return [Finding("black", f"It is black: mean brightness {found.luma:.1f} of 255.")]
    doubts = []
    if found.dark > 0.5:
        doubts.append(Finding("black", f"{found.dark:.0%} of its frames are black."))
    if found.frames > 1 and found.motion < FROZEN:
        doubts.append(
            Finding(
                "frozen",
                f"Nothing moves: frames differ by {found.motion:.3f} of 255 on average"
                f" (at least {FROZEN:g}).",
            )
        )
    for grain, own, most in zip(found.grain, found.still_grain, GRAIN, strict=True):
        if grain > (limit := most + STILL_SHARE * own):
            sentence = f"Noise is left in it: grain {grain:.1f} of 255 (at most {limit:.1f})."
            doubts.append(Finding("noise", sentence))
            break
    if found.clipped > CLIPPED:
        doubts.append(
            Finding("clipped", f"{found.clipped:.0%} of its pixels are burnt to black or white.")
        )
    pixels = found.width * found.height * max(1, found.frames)
    density = found.size / max(1, pixels)
    if pixels > SMALL_CLIP and not BYTES[0] <= density <= BYTES[1]:
        doubts.append(
            Finding(
                "bytes",
                f"{found.size} bytes are {'too few' if density < BYTES[0] else 'too many'} for"
                f" {found.frames} frames of {found.width}x{found.height}.",
            )
        )
    return doubts


class CheckerDown(ZoetropeError):
    """The process that opens videos does not run; the host's matter, not the video's."""

    key = "checker-down"


async def check(
    video: Path,
    expected: Expected,
    *,
    still: Path | None = None,
    poster: Path | None = None,
    strip: bool = False,
) -> Verdict:
    """Measure a file in a process of its own and judge it; other files than videos only need content.

    With `strip`, the graph that ComfyUI wrote into the video's tags is taken out first.
    """
    if video.suffix.lower() not in VIDEOS:
        return Verdict(file=video.name)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "zoetrope.jobs.verify_worker"),
        *(str(video), str(still or ""), str(poster or ""), "strip" if strip else ""),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A wrapped service finds its packages through sys.path alone; pass that on.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            told, trouble = await process.communicate()
    except TimeoutError:
        return _undecodable(video, f"it could not be read within {TIMEOUT:g} s")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    code = process.returncode or 0
    if code == 0:
        found = msgspec.json.decode(told, type=Measured)
        return Verdict(file=video.name, measured=found, findings=judge(found, expected))
    words = trouble.decode(errors="replace").strip().splitlines()
    last = words[-1] if words else "no reason given"
    if code == UNDECODABLE or code < 0:
        return _undecodable(video, last if code > 0 else "its decoder crashed")
    raise CheckerDown(
        f"The process that checks videos does not run: {last}.",
        "Run `python -m zoetrope.jobs.verify_worker FILE '' ''` by hand to see why.",
    )


def _undecodable(video: Path, why: str) -> Verdict:
    finding = Finding("unreadable", f"The video cannot be decoded: {why}.")
    return Verdict(file=video.name, findings=(finding,))
