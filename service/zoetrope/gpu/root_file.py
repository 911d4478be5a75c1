"""Files and folders that only root can change, whatever path leads there.

A file is as safe as the folders on its way: who may write one of them can put another file in its place, at any
time. So the way is walked by descriptors, each step is checked, and what is read is the descriptor that was checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import SettingsError
from ..settings import reading

MOST_LINKS = 40  # as many as the kernel follows
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read(file: Path) -> str:
    """Read a settings file that only root can change: its profiles are set with root's power."""
    with reading(file), _opened(file) as handle, open(handle, "rb", closefd=False) as stream:
        return stream.read().decode()


def check_folder(folder: Path) -> None:
    """Reject a folder that someone but root can change or exchange; after that, its path can be trusted."""
    try:
        with _opened(folder) as handle:
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be opened ({error.strerror}).", "Check the path and its permissions."
        ) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file or folder, after every folder and link on the way to it was found to be root's."""
    steps = _steps(str(path.absolute()))
    way = [os.open("/", FOLDER)]  # the folders that were gone through
    names: list[str] = []
    links = 0
    try:
        _check(os.fstat(way[-1]), "/")
        while steps:
            step = steps.pop(0)
            if step == "..":
                if names:
                    names.pop()
                    os.close(way.pop())
                continue
            here = "/" + "/".join([*names, step])
            entry = os.open(step, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=way[-1])
            way.append(entry)
            about = os.fstat(entry)
            _check(about, here)
            if stat.S_ISLNK(about.st_mode):
                links += 1
                if links > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = os.readlink("", dir_fd=entry)
                os.close(way.pop())
                if target.startswith("/"):
                    while len(way) > 1:
                        os.close(way.pop())
                    names.clear()
                steps = _steps(target) + steps
                continue
            names.append(step)
            if stat.S_ISDIR(about.st_mode):
                continue
            if steps:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not stat.S_ISREG(about.st_mode):
                raise OSError(errno.EINVAL, "it is not a plain file")
            # By the descriptor that was checked: the name may lead elsewhere by now.
            way.append(os.open(f"/proc/self/fd/{entry}", os.O_RDONLY | os.O_CLOEXEC))
        yield way[-1]
    finally:
        for each in way:
            os.close(each)


def _check(about: os.stat_result, name: str) -> None:
    """Reject what someone but root can change.

    A sticky folder, such as /tmp or Nix's store, may be open to others: they cannot exchange root's entries in it.
    """
    loose = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    # A link has no mode of its own.
    if stat.S_ISLNK(about.st_mode) or (
        stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
    ):
        loose = 0
    if about.st_uid not in (0, os.geteuid()) or loose:
        raise SettingsError(
            f"{name} can be changed by users other than root, who could then set clocks as root.",
            f"chown root: {name} && chmod go-w {name}",
        )


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step not in ("", ".")]
