"""What one stage has in the host's memory, and whether that fits the engine as it was started: sums alone."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from ..engine.flag_request import UNPIN
from ..engine.report import EngineReport
from ..graphs.catalog import PINNED
from ..graphs.loaders import loaded
from ..models.manifest import catalogue
from ..settings import ModelsSettings
from .memory_budget import (
    BASE,
    BYTES_EACH_PIXEL,
    GIB,
    NONE,
    OWN,
    UNPINNED,
    HostMemory,
    StageMemory,
    gib,
    need,
    pinned_limit,
)
from .stage_request import StageRequest

# An upscaled video has twice the edges, unless a job asks for more.
LARGER = 4
# Without CUDA's context.
BASE_ON_CPU = GIB

UNCACHE = "--cache-none"


class Sizes:
    """The bytes of model files, as they are on this host, else as they are published; 0 where neither is known."""

    def __init__(self, models: ModelsSettings) -> None:
        self._folders = () if models.path is None else (models.path, *models.folders)
        self._published = catalogue(models)

    def of(self, path: str) -> int:
        """Give the bytes of a file, named `folder/file`."""
        here = next((size for each in self._folders if (size := _size(each / path))), 0)
        known = self._published.get(path)
        return here or ((known.bytes or 0) if known is not None else 0)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def stage_memory(request: StageRequest, sizes: Sizes) -> StageMemory:
    """Add up what a stage has in memory."""
    graph = request.graph(request.names())
    plan, spec = request.plan, request.spec
    width, height = request.recipe.expected_size(plan, spec, request.fallbacks)
    pixels = width * height * (LARGER if spec.expect.size == "larger" else 1)
    frames = max(1, (plan.frames - 1) * spec.expect.times + 1)
    return StageMemory(
        recipe=request.recipe.name,
        stage=spec.name,
        files={
            path: sizes.of(path)
            for path in (f"{loader.folder}/{file}" for loader, file in loaded(graph))
        },
        frames=pixels * frames * BYTES_EACH_PIXEL,
    )


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a stage fits: what it needs as the engine was started and at the least, and what the host can give."""

    stage: StageMemory
    need: int
    least: int  # with every flag that saves the host's memory
    room: int  # when no other program holds more than usual
    least_room: int  # the same where nothing is pinned
    now: int | None  # None where that is not known
    most: int  # all that the host could ever give

    @property
    def fits(self) -> bool:
        """Whether it can be sent: it fits now, or could where that is not known."""
        return self.need <= (self.most if self.now is None else self.now)

    @property
    def later(self) -> bool:
        """Whether it would fit if other programs held less."""
        return self.now is not None and self.need <= self.room

    @property
    def restarted(self) -> bool:
        """Whether it would fit with other launch flags, where it cannot with these."""
        return self.least <= self.least_room

    @property
    def short(self) -> int:
        """How many bytes are missing, whatever the engine is started with."""
        return max(0, self.least - self.least_room)

    def __str__(self) -> str:
        return (
            f"{self.stage.recipe}, stage {self.stage.stage}: {gib(self.stage.weights)} of model files and"
            f" {gib(self.stage.frames)} of frames; as ComfyUI was started it needs {gib(self.need)} of the host's"
            f" memory"
        )


def fit(stage: StageMemory, host: HostMemory, found: EngineReport) -> Fit:
    """Compare what a stage needs of an engine that was started so with what its host can give."""
    pinned = pinned_limit(found.comfyui or PINNED, host)
    profile = kept(found.flags, found.mode)
    # What is read whole instead of mapped cannot be dropped and read again.
    whole = "--disable-mmap" in found.flags
    limit = max(pinned, stage.weights) if whole else pinned
    less = BASE - BASE_ON_CPU if found.mode == "cpu" else 0
    unpinned = profile == UNPINNED
    wants = need(profile, stage, (stage,), limit)
    least = need(NONE if whole else UNPINNED, stage, (stage,), limit)
    return Fit(
        stage=stage,
        need=wants - less,
        least=min(wants, least) - less,
        room=host.room_unpinned if unpinned else host.room,
        least_room=host.room if whole else host.room_unpinned,
        now=host.now(unpinned=unpinned),
        most=host.most,
    )


def kept(flags: Collection[str], mode: str) -> str:
    """Name the profile that launch flags come to for one stage: what is kept of others can be dropped for it."""
    if "--disable-mmap" not in flags and (UNPIN in flags or mode == "cpu"):
        return UNPINNED
    return NONE if UNCACHE in flags else OWN
