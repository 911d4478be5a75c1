"""The process that opens a finished video; it answers on its standard output and ends."""

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

from ..structs import primed
from . import film, tags
from .order import READY, MeasureAnswer, Order

# 161 frames of 1080x1578 on two cores peak at 0.6 GiB; the rest is room for the source and for threads.
MEMORY = 4 << 30
# Faults of the disk or of its rights, wherever they show: the video has no part in them.
HOSTS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
}


def answer(order: Order) -> MeasureAnswer:
    """Do all that is asked; whatever a video makes a decoder do becomes an answer."""
    video = Path(order.video)
    image = Path(order.image) if order.image else None
    poster = Path(order.poster) if order.poster else None
    try:
        if order.strip:
            tags.strip(video)
        found = film.measure(video, image, poster)
        return MeasureAnswer(measured=found, findings=film.judge(found, order.expected))
    except MemoryError:
        return MeasureAnswer(unreadable=f"it needs more than {MEMORY >> 30} GiB of memory")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in HOSTS:
            return MeasureAnswer(errno=error.errno)
        return MeasureAnswer(unreadable=f"{type(error).__name__}: {error}")


def main(words: str, answers: BinaryIO) -> int:
    """Measure one video and answer on the standard output, which nothing else may write to."""
    order = msgspec.json.decode(words, type=primed(Order))
    # A Ctrl-C at a terminal is meant for the service, which ends this process itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # whoever prepares the engine's next prompt goes first
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order.cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (order.cpu_seconds, order.cpu_seconds + 5))
    # If the host runs out of memory all the same, this process is the one to go.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    answers.write(READY)
    answers.flush()
    answers.write(msgspec.json.encode(answer(order)))
    answers.flush()
    return 0


if __name__ == "__main__":
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes elsewhere
    sys.exit(main(sys.argv[1], output))
