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
    groups = root / "sys/fs/cgroup"
    limits = list(_limits(groups, unit)) if unit else []
    swap, used = _disk_swap(root / "proc/swaps")
    return HostMemory(
        total=total,
        disk_swap=swap,
        limit=min(limits) if limits else None,
        available=table.get("MemAvailable"),
        swap_free=max(0, swap - used),
        held=_held(groups, unit) if unit else None,
    )


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def _disk_swap(file: Path) -> tuple[int, int]:
    """Add up the swap that is no compressed memory, and what of it is used."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()[1:]
        # A name with a blank in it stands as \\040.
        rows = [line.split() for line in lines if not line.startswith("/dev/zram")]
        return sum(int(row[2]) * 1024 for row in rows), sum(int(row[3]) * 1024 for row in rows)
    except (OSError, UnicodeDecodeError, IndexError, ValueError):
        return 0, 0


def _held(groups: Path, unit: str) -> int | None:
    """Read what a unit's processes hold that no other program can have; nothing of a unit that does not run."""
    if not (groups / "cgroup.controllers").is_file():
        return None  # the first version of control groups, whose files have other names
    total = 0
    for place in _places(groups, unit):
        try:
            rows = dict(
                line.split() for line in (place / "memory.stat").read_text("ascii").splitlines()
            )
            # Memory that is pinned for the GPU is anonymous as well. Pages of files are available anyway.
            total += int(rows["anon"]) + int(rows["shmem"])
        except (OSError, UnicodeDecodeError, KeyError, ValueError):
            return None
    return total


def _places(groups: Path, unit: str) -> list[Path]:
    """Find a unit's group; ours are at this depth, one in a slice of its own may be deeper."""
    return [*groups.glob(f"*.slice/{unit}"), *groups.glob(f"*.slice/*.slice/{unit}")][:1]


def _limits(groups: Path, unit: str) -> Iterator[int]:
    """Give each limit from a unit's group up to the top; a unit that does not run has no group."""
    for place in _places(groups, unit):
        for group in (place, *place.parents):
            if group == groups.parent:
                return
            try:
                text = (group / "memory.max").read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
            if text.isdecimal():
                yield int(text)
