"""What the kernel says of the host's memory, and of the limits of an engine's unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .memory_budget import HostMemory

_ROOT = Path("/")


def read(unit: str = "", root: Path = _ROOT) -> HostMemory | None:
    """Read the host's memory with the strictest limit over a unit; None where the kernel does not say."""
    try:
        table = _table((root / "proc/meminfo").read_text(encoding="ascii"))
        # Not what is available now: that lacks what ComfyUI itself holds.
        total = table["MemTotal"]
    except (OSError, UnicodeDecodeError, KeyError, ValueError):
        return None
    limits = list(_limits(root / "sys/fs/cgroup", unit)) if unit else []
    return HostMemory(
        total=total,
        disk_swap=_disk_swap(root / "proc/swaps"),
        limit=min(limits) if limits else None,
    )


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def _disk_swap(file: Path) -> int:
    """Add up the swap that is no compressed memory."""
    try:
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines()[1:]]
        return sum(int(row[2]) * 1024 for row in rows if not row[0].startswith("/dev/zram"))
    except (OSError, UnicodeDecodeError, IndexError, ValueError):
        return 0


def _limits(groups: Path, unit: str) -> Iterator[int]:
    """Give each limit from a unit's group up to the top; a unit that does not run has no group."""
    # Our units are at this depth; a unit in a slice of its own may be deeper.
    found = [*groups.glob(f"*.slice/{unit}"), *groups.glob(f"*.slice/*.slice/{unit}")]
    for place in found[:1]:
        for group in (place, *place.parents):
            if group == groups.parent:
                return
            try:
                text = (group / "memory.max").read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if text.isdecimal():
                yield int(text)
