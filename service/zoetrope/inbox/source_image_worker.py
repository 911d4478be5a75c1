"""The process that opens pictures: limited in memory and processor time, replaced when it dies.

It reads requests from its standard input and answers on its standard output; each message is four
bytes of length and then msgpack.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..errors import Reason, Rejected
from ..structs import primed

READY = b"\0\0\0\0"

# Decoding holds the picture a few times over: as read, converted, with alpha, flattened.
BYTES_PER_PIXEL = 32
BASE_BYTES = 2**30


class OpenRequest(msgspec.Struct, frozen=True):
    """Open this file; write the normalized copy there if one is needed. Paths are raw bytes."""

    source: bytes
    target: bytes
    max_megapixels: int
    max_frames: int = 0  # of a video; 0 where a picture is wanted
    small: bytes = b""  # where a small copy goes, if one is wanted
    cpu_seconds: float = 0.0  # processor time that it may cost; 0 for any


class OpenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: a reason why not, or the measures of the picture."""

    refused: Reason | None = None
    errno: int = 0  # a file could not be read or written: the disk's fault, not the picture's
    format: str = ""
    width: int = 0
    height: int = 0
    made: bool = False
    frames: int = 0
    fps: float = 0.0
    changes: tuple[str, ...] = ()
    pixels: str = ""


def answer(request: OpenRequest) -> OpenAnswer:
    """Do one request; whatever a picture makes a decoder do becomes an answer."""
    # Imported here: the service imports this module for its messages and must not load Pillow.
    from . import normalize

    source, target = Path(os.fsdecode(request.source)), Path(os.fsdecode(request.target))
    small = Path(os.fsdecode(request.small)) if request.small else None
    try:
        if request.max_frames:
            from . import moving  # late as well: few workers ever see a video

            opened = moving.prepare(
                source,
                target,
                max_megapixels=request.max_megapixels,
                max_frames=request.max_frames,
                small=small,
            )
        else:
            opened = normalize.prepare(source, target, request.max_megapixels, small)
    except Rejected as error:
        return OpenAnswer(refused=error.reason)
    except OSError as error:
        # Pillow's encoders swallow the number; a full disk is what they meet.
        return OpenAnswer(errno=error.errno or errno.ENOSPC)
    return OpenAnswer(
        format=opened.format,
        width=opened.width,
        height=opened.height,
        made=opened.made,
        frames=opened.frames,
        fps=opened.fps,
        changes=opened.changes,
        pixels=opened.pixels,
    )


def limit(max_megapixels: int) -> None:
    """Bound this process, so that a bomb harms nobody else."""
    bound = BASE_BYTES + max_megapixels * 1_000_000 * BYTES_PER_PIXEL
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # If the host runs out of memory all the same, this process is the one to go.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the other side goes away."""
    from . import normalize  # noqa: F401  loaded before READY, so that a broken installation shows

    answers.write(READY)
    answers.flush()
    decoder = msgspec.msgpack.Decoder(primed(OpenRequest))
    encoder = msgspec.msgpack.Encoder()
    while len(size := requests.read(4)) == 4:
        request = decoder.decode(requests.read(int.from_bytes(size, "big")))
        # Of all threads together. Its signal ends the process, also in the middle of a decoder's own code.
        signal.setitimer(signal.ITIMER_PROF, request.cpu_seconds)
        body = encoder.encode(answer(request))
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        answers.write(len(body).to_bytes(4, "big") + body)
        answers.flush()


def main() -> None:
    """Serve on the standard streams; what a library prints goes elsewhere."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit(int(sys.argv[1]))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
