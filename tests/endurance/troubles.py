"""Trouble of the host that a fork can be given: clocks that jump, no threads, no descriptors, no room on the disk."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from tests.endurance.processes import FORK, Forked

BALLAST = ".ballast"


class Host:
    """What a test decides about the host while the service runs; forks share it."""

    def __init__(self) -> None:
        self._ahead: Any = FORK.Value("d", 0.0, lock=False)  # of the real time, in seconds
        self._starved: Any = FORK.Value("b", 0, lock=False)

    def prepare(self) -> None:
        """In the new process: have its clock and its threads depend on what is decided."""
        real_time, real_start = time.time, threading.Thread.start

        def now() -> float:
            return real_time() + float(self._ahead.value)

        def start(thread: threading.Thread) -> None:
            if self._starved.value:
                raise RuntimeError("can't start new thread")
            real_start(thread)

        replace_defaults(real_time, now)
        time.time = now
        threading.Thread.start = start  # type: ignore[method-assign]

    def jump(self, seconds: float) -> None:
        """Set the clock so far ahead of the real time, or behind it."""
        self._ahead.value = seconds

    def starve(self, *, threads: bool) -> None:
        """Let no further thread begin, or let them again."""
        self._starved.value = int(threads)


def replace_defaults(old: Callable[[], float], new: Callable[[], float]) -> None:
    """Replace a clock that functions of the product took as a default when they were defined."""
    for name, module in list(sys.modules.items()):
        if name.startswith("zoetrope."):
            for value in list(vars(module).values()):
                for function in functions(value):
                    if function.__kwdefaults__:
                        for key, default in function.__kwdefaults__.items():
                            if default is old:
                                function.__kwdefaults__[key] = new
                    if function.__defaults__ and old in function.__defaults__:
                        changed = tuple(
                            new if each is old else each for each in function.__defaults__
                        )
                        function.__defaults__ = changed


def functions(value: object) -> Iterator[FunctionType]:
    """List a function, or the methods of a class."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type):
        yield from (each for each in vars(value).values() if isinstance(each, FunctionType))


def leave_descriptors(process: Forked, more: int) -> None:
    """Let a process have so many descriptors more than it has now."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        numbers = [int(each.name) for each in Path(f"/proc/{process.pid}/fd").iterdir()]
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        highest = max(numbers, default=0) + 1 + more
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (min(highest, hard), hard))


def give_descriptors(process: Forked) -> None:
    """Let a process have as many descriptors as it may."""
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (hard, hard))


@functools.cache
def can_mount() -> bool:
    """Tell whether this process may make a small disk of its own."""
    return os.geteuid() == 0 and Path("/proc/self/mounts").exists()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Mount a small disk on a folder, for as long as the block lasts; false where that cannot be done."""
    folder.mkdir(parents=True, exist_ok=True)
    size = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    there = can_mount() and subprocess.run(["mount", *size], check=False).returncode == 0
    try:
        yield there
    finally:
        if there:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def fill_up(folder: Path, leave: int) -> None:
    """Fill a small disk so that so many bytes are left."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    with (folder / BALLAST).open("wb") as file, contextlib.suppress(OSError):
        if free > leave:
            os.posix_fallocate(file.fileno(), 0, free - leave)


def make_room(folder: Path) -> None:
    """Empty it again."""
    (folder / BALLAST).unlink(missing_ok=True)
