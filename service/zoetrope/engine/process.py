"""The process of an engine on this host: whoever listens at its address, and the control group that it is in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_PROC = Path("/proc")
_LISTENS = "0A"


class EngineProcess(msgspec.Struct, frozen=True):
    """An engine's process."""

    pid: int
    group: str = ""


def find(url: str, proc: Path = _PROC) -> EngineProcess | None:
    """Find the process that listens at an address of this host; None where this user may not see it."""
    try:
        port = urlsplit(url).port
    except ValueError:
        return None
    sockets = {f"socket:[{inode}]" for inode in _sockets(proc, port)} if port else set()
    if not sockets:
        return None
    for folder in proc.glob("[0-9]*"):
        # A process of another user, or one that has ended meanwhile.
        with contextlib.suppress(OSError):
            if any(str(each.readlink()) in sockets for each in (folder / "fd").iterdir()):
                return EngineProcess(int(folder.name), _group(folder / "cgroup"))
    return None


def _sockets(proc: Path, port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            rows = [line.split() for line in (proc / "net" / name).read_text("ascii").splitlines()]
        except (OSError, UnicodeDecodeError):
            continue
        for row in rows:
            if len(row) > 9 and row[3] == _LISTENS and row[1].endswith(f":{port:04X}"):
                yield row[9]


def _group(file: Path) -> str:
    """Read in which group a process's memory counts: that of the first version of control groups, where there is one."""
    try:
        rows = [line.split(":", 2) for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return ""
    groups = {kinds: path for _, kinds, path in (row for row in rows if len(row) == 3)}
    own = next((path for kinds, path in groups.items() if "memory" in kinds.split(",")), "")
    return own or groups.get("", "")
