"""What the kernel's log says of processes that it ended for lack of memory, where it may be read.

The NixOS unit may not (ProtectKernelLogs) and need not: there systemd says so of ComfyUI's own unit. This is for an
engine that is no unit, or whose systemd cannot know.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

KMSG = Path("/dev/kmsg")
RECORD_BYTES = 8192  # the kernel gives no longer ones
JOURNAL_SECONDS = 10.0

# The name of the task may be anything, so what counts is at the end. The line after it, "Killed process", names no group.
_KILL = re.compile(r"oom-kill:constraint=.*,task_memcg=(/.*),task=.*,pid=([0-9]+),uid=[0-9]+$")
# systemd-oomd ends a whole group, and the kernel says nothing of it.
_OOMD = re.compile(r"(?:Killed|Marked) (/\S+) (?:for killing )?due to memory (?:pressure|used)")
# Priority, number, microseconds since the boot, flags.
_RECORD = re.compile(r"([0-9]+),[0-9]+,([0-9]+),[^;]*;(.*)")
_DATED = re.compile(r"([0-9]+\.[0-9]+) (.*)")


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A process that was ended for lack of memory, or with pid 0 all of a control group."""

    at: float  # unix time
    group: str
    pid: int = 0


def kernel_kills(text: str, booted: float) -> Iterator[Kill]:
    """Find kills in records of /dev/kmsg, on a host whose clock of records began then."""
    for line in text.splitlines():
        found = _RECORD.match(line)
        # Others than the kernel may write there as well, with another facility.
        if found is None or int(found[1]) >> 3:
            continue
        if (kill := _KILL.match(found[3])) is not None:
            yield Kill(at=booted + int(found[2]) / 1e6, group=kill[1], pid=int(kill[2]))


def journal_kills(lines: str) -> Iterator[Kill]:
    """Find kills in lines of the journal, as `journalctl -o short-unix` writes those of the kernel and of systemd-oomd."""
    for line in lines.splitlines():
        found = _DATED.match(line)
        if found is None:
            continue
        if (kill := _KILL.search(found[2])) is not None:
            yield Kill(at=float(found[1]), group=kill[1], pid=int(kill[2]))
        elif (oomd := _OOMD.search(found[2])) is not None:
            yield Kill(at=float(found[1]), group=oomd[1])


def read(since: float) -> tuple[Kill, ...]:
    """Read what was killed since then, as far as this user may."""
    found = [*kernel_kills(records(), time.time() - time.monotonic())]
    found += journal_kills(journal(since))
    return tuple(each for each in found if each.at >= since)


def records(file: Path = KMSG) -> str:
    """Read what the kernel still has; nothing where this user may not."""
    found: list[str] = []
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        while True:
            try:
                record = os.read(handle, RECORD_BYTES)
            except BrokenPipeError:
                continue  # older ones were overwritten meanwhile
            if not record:
                break
            found.append(record.decode(errors="replace"))
    except OSError:
        pass  # there are no more
    finally:
        os.close(handle)
    return "".join(found)


def journal(since: float) -> str:
    """Read the journal's lines of the kernel and of systemd-oomd; nothing where there is none or this user may not."""
    # Fields with an underscore are the journal's own: no other program can write them.
    words = ["journalctl", "-q", "--no-pager", "-o", "short-unix", f"--since=@{int(since)}"]
    words += ["_TRANSPORT=kernel", "+", "_SYSTEMD_UNIT=systemd-oomd.service"]
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=JOURNAL_SECONDS, check=False, text=True
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
