"""Verification: a finished video is measured, and a doubtful one is a failed stage, never a success."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Literal

import msgspec

from .. import child
from ..errors import ZoetropeError, is_disk_full

TIMEOUT = 300.0
VIDEOS = frozenset({".mp4", ".mkv", ".webm", ".mov"})
# The worker's first byte: what goes wrong after it, goes wrong with the video.
READY = b"\0"
# These end a worker from outside: a stopping service, the kernel short of memory.
FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})

Grain = tuple[float, float, float]
NONE: Grain = (0.0, 0.0, 0.0)

# Mean brightness of 255 below which nothing can be seen: NaN latents come out as plain black
# (ComfyUI #7020, #8573, #9629). A night sky full of stars measures 3, so the still counts as well.
BLACK = 6.0
# Share of such frames: a fade at the end of a clip stays below it.
DARK = 0.25
# Mean difference, of 255, of successive frames in the liveliest twentieth of the picture. Held
# pictures measure up to 0.11 after H.264; one that breathes by a thousandth of its size 0.13 to 5.
FROZEN = 0.12
# Share of repeated frames: breathing ones reach 0.4 where the movement turns.
REPEATED = 0.75
# Grain of 255 at full, half and quarter size, beyond what the still has. Sound clips measure less
# than their still; a picture that fills with detail on the way needs room.
GRAIN = (5.0, 4.0, 6.0)
STILL_SHARE = 1.5
# What is left at a quarter of the size when the still is taken from the first frame, and grain that
# the still does not have. Sound hand-overs leave at most 0.4 of the still's own grain there; the
# mildest broken one (low steps from 4 of 20 instead of 5) 5 on a line drawing, 9 and more elsewhere.
RESIDUE = 2.5
RESIDUE_SHARE = 0.45
UNSEEN = 3.0
UNSEEN_SHARE = 1.05
# Grain of the colours: photographs measure up to 2.3, colour noise of 30 a channel 4.5.
COLOUR = 3.0
# Share of channels burnt to black or white, beyond what the still has: garbage latents clip nearly
# everything, and so does a drawing on white.
CLIPPED = 0.75
CLIPPED_MORE = 0.2
# Bytes for each pixel of each frame: a line drawing that hardly moves measures 0.0002 over 81 frames,
# a meadow 0.09, the documents' clips 0.007 to 0.043.
BYTES = (0.00002, 0.9)
LOSSLESS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "png", "rawvideo"})
# Below so many pixels in all, headers outweigh pictures and the band says nothing.
SMALL_CLIP = 2_000_000


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture looks; brightness and grain are of 255, shares of 1."""

    luma: float
    clipped: float
    grain: Grain  # at full, half and quarter size
    colour: float  # grain of the colours


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
    residue: float | None = None  # of the first frame beside the still, where it shows that
    still: Look | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage's video has to be; `quality` off looks at the container alone, `motion` off lets it stand still."""

    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    size: Literal["same", "larger", "any"] = "same"
    quality: bool = True
    motion: bool = True


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


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the worker says: figures, or why there are none."""

    measured: Measured | None = None
    unreadable: str = ""  # the video's fault
    errno: int = 0  # the disk's


def judge(found: Measured, expected: Expected) -> tuple[Finding, ...]:
    """Compare what was measured with what was asked for."""
    if not found.frames:
        return (Finding("empty", f"The video holds no frame in its {found.size} bytes."),)
    doubts = [*_container(found, expected), *_size(found, expected)]
    if expected.quality:
        doubts += _looks(found, motion=expected.motion)
    return tuple(doubts)


def _container(found: Measured, expected: Expected) -> list[Finding]:
    """Judge length and rate."""
    doubts = []
    if found.damaged:
        sentence = f"{found.damaged} of its {found.frames} frames are damaged."
        doubts.append(Finding("unreadable", sentence))
    if expected.frames and found.frames != expected.frames:
        sentence = f"The video has {found.frames} frames instead of {expected.frames}."
        doubts.append(Finding("frames", sentence))
    if expected.fps and abs(found.fps - expected.fps) > 0.01:
        sentence = f"It plays at {found.fps:g} frames a second instead of {expected.fps:g}."
        doubts.append(Finding("fps", sentence))
    # A wrong count or rate makes a wrong duration as well; one true sentence is enough.
    lasts = found.frames / found.fps if found.fps else 0.0
    if not doubts and lasts and abs(found.duration - lasts) > 1.5 / found.fps:
        sentence = f"It lasts {found.duration:.2f} s instead of {lasts:.2f} s."
        doubts.append(Finding("duration", sentence))
    return doubts


def _size(found: Measured, expected: Expected) -> list[Finding]:
    """Judge width and height."""
    size, wanted = (found.width, found.height), (expected.width, expected.height)
    if expected.size == "same" and expected.width and size != wanted:
        sentence = f"It is {size[0]}x{size[1]} instead of {wanted[0]}x{wanted[1]}."
        return [Finding("size", sentence)]
    if expected.size == "larger" and any(s <= w for s, w in zip(size, wanted, strict=True)):
        sentence = (
            f"It is {size[0]}x{size[1]}, no larger than the {wanted[0]}x{wanted[1]} it came from."
        )
        return [Finding("size", sentence)]
    return []


def _looks(found: Measured, *, motion: bool) -> list[Finding]:
    """Judge the pictures themselves, beside the still they come from."""
    own = found.still.luma if found.still else 255.0
    if found.luma < (floor := min(BLACK, own / 2)):
        # Black is still and clipped as well; one true sentence is enough.
        sentence = f"It is black: mean brightness {found.luma:.1f} of 255 (at least {floor:.1f})."
        return [Finding("black", sentence)]
    doubts = []
    if found.dark > DARK and own >= 2 * BLACK:
        sentence = f"{found.dark:.0%} of its frames are black (at most {DARK:.0%})."
        doubts.append(Finding("black", sentence))
    if motion and found.frames > 1 and found.motion < FROZEN:
        sentence = (
            f"Nothing moves: frames differ by {found.motion:.3f} of 255 where they differ most"
            f" (at least {FROZEN:g})."
        )
        doubts.append(Finding("frozen", sentence))
    elif motion and found.repeated > REPEATED:
        sentence = (
            f"{found.repeated:.0%} of its frames repeat the one before (at most {REPEATED:.0%})."
        )
        doubts.append(Finding("frozen", sentence))
    if sentence := _noise(found):
        doubts.append(Finding("noise", sentence))
    burnt = max(CLIPPED, (found.still.clipped if found.still else 0.0) + CLIPPED_MORE)
    if found.clipped > burnt:
        sentence = f"{found.clipped:.0%} of it is burnt to black or white (at most {burnt:.0%})."
        doubts.append(Finding("saturated", sentence))
    pixels = found.width * found.height * found.frames
    density = found.size / max(1, pixels)
    low, high = BYTES
    if pixels > SMALL_CLIP and (density < low or (density > high and found.codec not in LOSSLESS)):
        sentence = (
            f"{found.size} bytes are too {'few' if density < low else 'many'} for {found.frames}"
            f" frames of {found.width}x{found.height} ({low * pixels:.0f} to {high * pixels:.0f})."
        )
        doubts.append(Finding("bytes", sentence))
    return doubts


def _noise(found: Measured) -> str:
    """Say how much noise is left; empty if it is none."""
    own = found.still.grain if found.still else NONE
    for grain, texture, most in zip(found.grain, own, GRAIN, strict=True):
        if grain > (limit := most + STILL_SHARE * texture):
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
            f" beside it (at most {limit:.1f})."
        )
    limit = COLOUR + STILL_SHARE * (found.still.colour if found.still else 0.0)
    if found.colour > limit:
        return (
            f"Noise is left in its colours: grain {found.colour:.1f} of 255 (at most {limit:.1f})."
        )
    return ""


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
    if (await asyncio.to_thread(video.stat)).st_size == 0:
        return Verdict(file=video.name, findings=(Finding("empty", "The file holds 0 bytes."),))
    if video.suffix.lower() not in VIDEOS:
        return Verdict(file=video.name)
    answer = await _ask(str(video), str(still or ""), str(poster or ""), "strip" if strip else "")
    if answer.errno:
        error = OSError(answer.errno, os.strerror(answer.errno), str(video.parent))
        if is_disk_full(error):
            raise error
        raise CheckerDown(
            f"The process that checks videos cannot work in {video.parent}: {error.strerror}.",
            "Look at the disk and at the folder's rights; it tries again by itself.",
        )
    if (found := answer.measured) is None:
        finding = Finding("unreadable", f"The video cannot be decoded: {answer.unreadable}.")
        return Verdict(file=video.name, findings=(finding,))
    return Verdict(file=video.name, measured=found, findings=judge(found, expected))


async def _ask(*arguments: str) -> Answer:
    """Have one video looked at; a worker that its video brings down is an answer too."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # -P: no module may be found in the folder where the service happens to run.
            *("-P", "-m", "zoetrope.jobs.verify_worker"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # numpy would keep buffers for every core of a large host, inside the memory limit.
            env=child.environment(OPENBLAS_NUM_THREADS="1"),
        )
    except OSError as error:
        raise _down(str(error)) from error
    try:
        async with asyncio.timeout(TIMEOUT):
            told, trouble = await process.communicate()
    except TimeoutError:
        return Answer(unreadable=f"it could not be read within {TIMEOUT:g} s")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    code = process.returncode or 0
    if not told.startswith(READY) or code in FROM_OUTSIDE:
        words = trouble.decode(errors="replace").strip().splitlines()
        raise _down(words[-1] if words else f"it ended with {code}")
    if code:
        return Answer(unreadable="its decoder crashed")
    return msgspec.json.decode(told.removeprefix(READY), type=Answer)


def _down(why: str) -> CheckerDown:
    return CheckerDown(
        f"The process that checks videos does not run: {why}.",
        "Run `python -m zoetrope.jobs.verify_worker FILE '' ''` by hand to see why.",
    )
