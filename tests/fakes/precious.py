"""A folder that is nobody's business, and members of a share who want the service to touch it."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoetrope import openat2
from zoetrope.errors import ZoetropeError

ID = "ab" * 16

Snapshot = dict[str, tuple[object, ...]]

# What a program can ask of the file system; a swap may come before any of them.
CALLS = (
    *("open", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "link", "symlink"),
    *("stat", "lstat", "scandir", "listdir", "readlink", "utime", "chmod", "fsync", "close"),
)


def make_precious(folder: Path, *names: str) -> Path:
    """Make a folder with bait: names that a service which follows links would move, empty or overwrite."""
    bait = (
        "ledger.db",
        "secret.toml",
        f"{ID}/kept.png",
        f"{ID}/ticket.toml",
        f".zoetrope/{ID}/kept.png",
        "cat.png",
        "bad.png",
        "bad.png.why.txt",
        "plain/bad.png.why.txt",
        "plain/cat.png",
        *names,
    )
    for number, name in enumerate(bait):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"precious {number}")
        os.utime(file, (1_000_000 + number, 1_000_000 + number))
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            os.utime(path, (2_000_000, 2_000_000))
    os.utime(folder, (2_000_000, 2_000_000))
    return folder


@contextlib.contextmanager
def buried(folder: Path, name: str, depth: int) -> Iterator[None]:
    """Make folders in each other, deeper than any path can tell, for as long as the block lasts."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    try:
        yield
    finally:
        # Python's own way of removing them fails on such a depth.
        subprocess.run(["rm", "-rf", folder / name], check=True)


def snapshot(folder: Path) -> Snapshot:
    """Write down every name below a folder, with its kind, mode, links, times and bytes."""
    found: Snapshot = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        body = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        name = str(path.relative_to(folder))
        found[name] = (status.st_mode, status.st_nlink, status.st_mtime_ns, body)
    return found


class Swap:
    """Puts a link in a folder's place before the n-th call that is made of the file system."""

    def __init__(self, at: int, place: Path, target: Path) -> None:
        self._left = at
        self._place = place
        self._target = target
        self._aside = place.with_name(f"{place.name}-aside")
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in CALLS}
        self.done = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the program and the file system."""
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(self._real[name]))
        monkeypatch.setattr(openat2, "below", self._wrap(openat2.below))

    def undo(self) -> None:
        """Put the folder back, as whoever finds the link would."""
        if self._place.is_symlink():
            self._place.unlink()
        if self._aside.exists() and not self._place.exists():
            self._aside.rename(self._place)

    def _wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self.done:
                with contextlib.suppress(OSError):
                    self._real["rename"](self._place, self._aside)
                    self._real["symlink"](self._target, self._place)
                    self.done = True
            return real(*args, **kwargs)

        return call


def swap_before_each_call(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    lay: Callable[[Path], tuple[Callable[[], object], Path, Path]],
    *,
    most: int,
    least: int = 5,
) -> None:
    """Run an act again and again, with a link in a folder's place before its first call, its second and so on.

    `lay` builds all anew below a fresh folder, and gives the act, the folder, and what the link leads to.
    That must stay as it was. The act makes between `least` and `most` calls.
    """
    for at in range(most):
        with monkeypatch.context() as patch:
            act, place, precious = lay(root / str(at))
            before = snapshot(precious)
            swap = Swap(at, place, precious)
            swap.install(patch)
            with contextlib.suppress(OSError, ZoetropeError):
                act()
        assert snapshot(precious) == before, f"swapped before call {at}"
        if not swap.done:
            assert at > least, "there are more steps than that"
            return
    pytest.fail("it never got through")


@contextlib.contextmanager
def swapping(place: Path, target: Path, rounds: int = 20_000) -> Iterator[None]:
    """Have another thread put a link in a folder's place and take it away again, so many times."""
    aside = place.with_name(f"{place.name}-aside")
    stop = threading.Event()

    def swap() -> None:
        for _ in range(rounds):
            if stop.is_set():
                return
            with contextlib.suppress(OSError):
                place.rename(aside)
            with contextlib.suppress(OSError):
                place.symlink_to(target)
                place.unlink()
            with contextlib.suppress(OSError):
                aside.rename(place)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
        if place.is_symlink():
            place.unlink()
