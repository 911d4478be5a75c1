"""The host's memory as a budget: what ComfyUI keeps of it for a set of recipes, and which launch flags fit.

Worked out from one measured run (docs/gpu-truth.md): the model files of a stage stay in memory that cannot be
reclaimed, however much of the GPU's is free. Everything here is a sum; nothing is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from ..graphs.release import numbers

GIB = 1 << 30

# ComfyUI with its node packs takes 1.0 GiB, with CUDA's context and what it stages from about 2.5 (36.4 GiB were
# taken with 33.1 of weights, frames among the rest).
BASE = 3 * GIB
# What the service, sshd and a desktop take.
OTHERS = 4 * GIB
# What has to be free at the end all the same: below it the kernel is busy with nothing else.
RESERVE = GIB
# How much of disk swap counts. What others hold and do not use goes there, and hardly more than half of it: pinned
# memory never does. Where nothing is pinned ComfyUI's own does too, but what each step reads has to be in memory: with
# more than a part of it on a disk a stage takes hours, and looks as if it stood still.
SWAPPED_OTHERS = OTHERS // 2
SWAPPED_PART = 4
# Frames as ComfyUI has them: three colours of 4 bytes, and once more while they are scaled or written (81 frames of
# 832x1216 took 2.1 GiB).
BYTES_EACH_PIXEL = 3 * 4 * 2

KEEP, OWN, NONE, UNPINNED = "everything", "one recipe", "nothing", "nothing, unpinned"
PROFILES = (KEEP, OWN, NONE, UNPINNED)


class HostMemory(msgspec.Struct, frozen=True, kw_only=True):
    """A host's memory in bytes; `limit` is the strictest of the control groups that ComfyUI is in."""

    total: int
    disk_swap: int = 0  # memory that is compressed instead is no more memory
    limit: int | None = None
    available: int | None = None  # without swapping, as the kernel says; None where it does not
    swap_free: int = 0  # of disk_swap
    held: int | None = (
        None  # by ComfyUI itself, of what is not available; None where that is not known
    )

    @property
    def room(self) -> int:
        """What ComfyUI may have when no other program holds more than usual."""
        return self._room(max(0, self.total - OTHERS), self.disk_swap, unpinned=False)

    @property
    def room_unpinned(self) -> int:
        """The same where nothing of ComfyUI's is pinned."""
        return self._room(max(0, self.total - OTHERS), self.disk_swap, unpinned=True)

    @property
    def most(self) -> int:
        """What no host like this can exceed, whatever is stopped on it."""
        return self._room(max(0, self.total - RESERVE), self.disk_swap, unpinned=True)

    def now(self, *, unpinned: bool) -> int | None:
        """Say what ComfyUI may have now, what it holds already included; None where that is not known."""
        if self.available is None or self.held is None:
            return None
        free = max(0, self.available + self.held - RESERVE)
        return self._room(free, self.swap_free, unpinned=unpinned)

    def _room(self, free: int, swap: int, *, unpinned: bool) -> int:
        swapped = min(swap, SWAPPED_OTHERS)
        # No limit of a control group's counts what is swapped out of it.
        own = min(swap - swapped, self.total // SWAPPED_PART) if unpinned else 0
        room = free + swapped
        return (room if self.limit is None else min(room, self.limit)) + own


class StageMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage has in memory: its model files by path with their bytes, and its frames."""

    recipe: str
    stage: str
    files: Mapping[str, int]
    frames: int = 0

    @property
    def weights(self) -> int:
        """The bytes of all its files."""
        return sum(self.files.values())


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The profile that fits, what it needs, and of how much; `stage` needs most, and does not fit where `fits` is false."""

    profile: str
    flags: tuple[tuple[str, ...], ...]
    need: int
    room: int
    fits: bool
    stage: StageMemory

    def __str__(self) -> str:
        return (
            f"{self.stage.recipe}, stage {self.stage.stage}: {gib(self.stage.weights)} of model files and"
            f" {gib(self.stage.frames)} of frames; with {self.profile} kept between nodes or jobs, ComfyUI needs"
            f" {gib(self.need)} of {gib(self.room)}"
        )


def gib(size: int) -> str:
    """Write a size for people."""
    return f"{size / GIB:.1f} GiB"


def pinned_limit(version: str, host: HostMemory) -> int:
    """Say how much ComfyUI of a version pins at most on Linux; an unknown version counts as the one that pins most."""
    known = numbers(version)
    # 0.35.0 takes the control group's limit for the host's memory (ComfyUI PR 15927), earlier ones do not see it.
    limited = known >= (0, 35) and host.limit is not None
    total = min(host.total, host.limit or host.total) if limited else host.total
    most = total * 9 // 10
    if known < (0, 31):
        return most
    # ComfyUI PR 15266.
    return max(total * 4 // 10, min(most, total - 4 * GIB, total + host.disk_swap - 16 * GIB))


def need(profile: str, stage: StageMemory, stages: Collection[StageMemory], pinned: int) -> int:
    """Say what ComfyUI takes that cannot be reclaimed while it runs a stage of a set under a profile."""
    if profile == KEEP:
        files = {path: size for each in stages for path, size in each.files.items()}
        # Whole, whatever is pinned of it: what is kept and not pinned would be read again for each job.
        return BASE + sum(files.values()) + sum(each.frames for each in stages)
    if profile == OWN:
        return BASE + min(stage.weights, pinned) + stage.frames
    if profile == NONE:
        # One model after the other, each gone after its last node.
        return BASE + min(max(stage.files.values(), default=0), pinned) + stage.frames
    return BASE + stage.frames


def choose(host: HostMemory, stages: Sequence[StageMemory], version: str) -> Budget:
    """Choose the profile that keeps most and fits; the last one where none does. `stages` are one or more."""
    pinned = pinned_limit(version, host)
    budget: Budget | None = None
    for profile in PROFILES:
        needs = [(need(profile, stage, stages, pinned), stage) for stage in stages]
        most, largest = max(needs, key=lambda each: each[0])
        room = host.room_unpinned if profile == UNPINNED else host.room
        budget = Budget(
            profile=profile,
            flags=_flags(profile, host),
            need=most,
            room=room,
            fits=most <= room,
            stage=largest,
        )
        if budget.fits:
            break
    assert budget is not None
    return budget


def _flags(profile: str, host: HostMemory) -> tuple[tuple[str, ...], ...]:
    if profile == KEEP:
        # Both thresholds small: the second is all of the memory by default, and nothing of a recipe stays once
        # another has run.
        free = str(min(10, max(2, host.total // (10 * GIB))))
        return (("--cache-ram", free, free),)
    if profile == OWN:
        return (("--cache-ram",),)
    if profile == NONE:
        return (("--cache-none",),)
    return (("--cache-none",), ("--disable-pinned-memory",))
