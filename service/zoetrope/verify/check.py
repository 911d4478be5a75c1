"""The check of one file: a process of its own opens it, measures it and judges it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec

from .. import child
from ..domain.verdict import Doubt, Verdict
from ..errors import ZoetropeError, is_disk_full
from ..structs import primed
from .expected import Expected
from .order import READY, MeasureAnswer, Order

VIDEOS = frozenset({".mp4", ".mkv", ".webm", ".mov"})
# These end a worker from outside: a stopping service, the kernel short of memory.
FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})
# Processor time that a video may cost: 81 frames of 832x480 take 1.3 s, 0.04 s a megapixel.
CPU_SECONDS = 60.0
CPU_SECONDS_A_MEGAPIXEL = 0.3
# A busy or slow host takes longer than its processor: that it does so is no fault of the video's.
PATIENCE = 4.0


class CheckerDown(ZoetropeError):
    """The process that opens videos does not run; the host's matter, not the video's."""

    key = "checker-down"


async def check(
    video: Path,
    expected: Expected,
    *,
    image: Path | None = None,
    poster: Path | None = None,
    strip: bool = False,
) -> Verdict:
    """Measure a file in a process of its own and judge it; other files than videos only need content.

    With `strip`, the graph that ComfyUI wrote into the video's tags is taken out first.
    """
    if (await asyncio.to_thread(video.stat)).st_size == 0:
        return Verdict(file=video.name, findings=(Doubt("empty", "The file holds 0 bytes."),))
    if video.suffix.lower() not in VIDEOS:
        return Verdict(file=video.name)
    order = Order(
        video=str(video),
        expected=expected,
        image=str(image or ""),
        poster=str(poster or ""),
        strip=strip,
        cpu_seconds=cpu_seconds(expected),
    )
    answer = await ask(order)
    if answer.errno:
        error = OSError(answer.errno, os.strerror(answer.errno), str(video.parent))
        if is_disk_full(error):
            raise error
        raise CheckerDown(
            f"The process that checks videos cannot work in {video.parent}: {error.strerror}.",
            "Check the disk and the folder's permissions; it is retried.",
        )
    if answer.measured is None:
        finding = Doubt("unreadable", f"The video cannot be decoded: {answer.unreadable}.")
        return Verdict(file=video.name, findings=(finding,))
    return Verdict(file=video.name, measured=answer.measured, findings=answer.findings)


def cpu_seconds(expected: Expected) -> int:
    """Say how much processor time a video of this size may cost before something is wrong with it."""
    megapixels = expected.width * expected.height * expected.frames / 1e6
    # One that comes larger is four times as large at most: twice each edge is what recipes ask for.
    larger = 1.0 if expected.size == "same" else 4.0
    return round(CPU_SECONDS + CPU_SECONDS_A_MEGAPIXEL * larger * megapixels)


async def ask(order: Order) -> MeasureAnswer:
    """Have one video looked at; a worker that its video brings down is an answer too."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # -P: no module may be found in the folder where the service happens to run.
            *("-P", "-m", "zoetrope.verify.worker"),
            msgspec.json.encode(order).decode(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # numpy would keep buffers for every core of a large host, inside the memory limit.
            env=child.environment(OPENBLAS_NUM_THREADS="1"),
        )
    # Python before 3.12 waits for a child on a thread of its own, which the host may not have.
    except (OSError, RuntimeError) as error:
        raise _down(str(error)) from error
    limit = PATIENCE * order.cpu_seconds
    try:
        async with asyncio.timeout(limit):
            output, trouble = await process.communicate()
    except TimeoutError as error:
        raise _down(
            f"it made no progress in {limit:g} s: the host is busy or the disk is slow"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    code = process.returncode or 0
    if not output.startswith(READY) or code in FROM_OUTSIDE:
        words = trouble.decode(errors="replace").strip().splitlines()
        raise _down(words[-1] if words else f"it ended with {code}")
    if code == -signal.SIGXCPU:
        return MeasureAnswer(
            unreadable=f"it takes more than {order.cpu_seconds} s of processor time"
        )
    if code:
        return MeasureAnswer(unreadable="its decoder crashed")
    return msgspec.json.decode(output.removeprefix(READY), type=primed(MeasureAnswer))


def _down(why: str) -> CheckerDown:
    return CheckerDown(
        f"The process that checks videos does not run: {why}.",
        "Run `zoetrope verify FILE` by hand to see why; it is tried again.",
    )
