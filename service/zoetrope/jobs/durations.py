"""How long stages take on this host, and what is likely behind one that took longer: pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import TypeVar

import msgspec

from ..domain.job import Attempt, Job, Progress
from ..domain.values import Scalar
from ..errors import ZoetropeError
from ..graphs.memory import sold_with
from ..graphs.recipe import Recipe
from ..graphs.recipe_file import Band
from .stage_request import planned

Value = TypeVar("Value")

# As many stages of a kind as make a baseline; fewer are compared with the recipe's own estimate.
ENOUGH = 5
MOST = 50
SLOW = 1.4  # times the baseline; the lightning document calls 67 to 83 s good, 114 to 126 degraded
SLOWER_THAN_ESTIMATED = 2.0  # the estimate is for a 16 GB GPU, so only a gross miss counts
LEARNED_FROM = 20  # a recipe's last videos
CLOCKS = 0.93  # a mean clock below this share of the usual one slows a stage by itself


class Basis(StrEnum):
    """What a slow stage is held against."""

    HOST = "host"
    DOCUMENT = "document"
    RECIPE = "recipe"


class MadeStage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage that was made, and what can make it slow."""

    recipe: str
    stage: str
    card: str
    size: tuple[int, int, int]  # width, height, frames
    seconds: float
    memory: float = 0.0  # the GPU's, in gigabytes; 0 where that is not known
    attention: str = ""
    fallbacks: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    mhz: float | None = None
    profile: str = ""
    slowed_by: tuple[str, ...] = ()
    version: str = ""
    job: str = ""
    engine: str = ""
    processors: bool = False  # the engine has no GPU

    @property
    def work(self) -> int:
        """Pixels times frames, so that clips of several sizes can be compared."""
        return math.prod(self.size)

    @property
    def kind(self) -> tuple[str, str, str]:
        """What it may be compared with."""
        return (self.recipe, self.stage, self.card)


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that took longer than its like: how much, and why, the likeliest first."""

    run: MadeStage
    usual: float  # seconds that would have been right
    by: Basis
    causes: tuple[str, ...]


def runs(job: Job) -> list[MadeStage]:
    """Take what a finished job tells of its stages; a stage without a measured video tells nothing."""
    found = []
    for stage in job.stages:
        measured = next((v.measured for v in stage.verdicts if v.measured is not None), None)
        if stage.state is not Progress.DONE or not stage.attempts or measured is None:
            continue
        attempt = stage.attempts[-1]
        seconds = _seconds(attempt)
        if seconds is None:
            continue
        usage = attempt.gpu
        asked = {"seed": "", **job.ticket.parameters}
        found.append(
            MadeStage(
                recipe=job.ticket.recipe,
                stage=stage.name,
                card=usage.card if usage is not None else attempt.engine,
                size=(measured.width, measured.height, max(1, measured.frames)),
                seconds=seconds,
                memory=attempt.memory,
                attention=attempt.attention,
                fallbacks=attempt.fallbacks,
                parameters=tuple(
                    sorted((key, str(value)) for key, value in asked.items() if value)
                ),
                mhz=usage.mean_core_mhz if usage is not None else None,
                profile=usage.profile if usage is not None else "",
                slowed_by=usage.slowed_by if usage is not None else (),
                version=attempt.version,
                job=job.short,
                engine=attempt.engine,
            )
        )
    return found


def judge(
    last: MadeStage, before: Iterable[MadeStage], estimate: float | None, band: Band | None = None
) -> Slow | None:
    """Compare a stage with its like on this host; while there are too few, with what documents say.

    A document's band counts before the recipe's estimate, on GPUs that it is fair to.
    """
    like = [run for run in before if run.kind == last.kind and run.work > 0][:MOST]
    if len(like) >= ENOUGH and last.work > 0:
        usual = median(run.seconds / run.work for run in like) * last.work
        limit, by = SLOW * usual, Basis.HOST
    elif band is not None and sold_with(band.memory, last.memory):
        usual = limit = band.limit(*last.size)
        by = Basis.DOCUMENT
    elif estimate is not None:
        usual, limit, by = estimate, SLOWER_THAN_ESTIMATED * estimate, Basis.RECIPE
    else:
        return None
    if last.seconds <= limit:
        return None
    return Slow(run=last, usual=usual, by=by, causes=_causes(last, like))


def learned(
    recipe: Recipe, stage: str, engine: str, asked: Mapping[str, Scalar], before: Iterable[Job]
) -> float:
    """Say what the recipe's estimate is to be multiplied with on this engine; 1 until something is known.

    Only jobs with the same parameters count: steps and guidance change what a stage takes.
    """
    spec = recipe.stage(stage)
    ratios = []
    for job in before:
        made = next((each for each in job.stages if each.name == stage), None)
        if made is None or not made.attempts or job.ticket.parameters != asked:
            continue
        last = made.attempts[-1]
        seconds = _seconds(last)
        if last.engine != engine or last.failure is not None or seconds is None:
            continue
        try:
            ratios.append(seconds / recipe.estimate(planned(recipe, job), spec))
        except (ZoetropeError, LookupError):
            continue  # the recipe was changed since
    return median(ratios) if ratios else 1.0


def _causes(last: MadeStage, like: Sequence[MadeStage]) -> tuple[str, ...]:
    """Name what differs from its like, in the order in which it is worth a look; else what may be."""
    found = []
    usual = _commonest([run.attention for run in like])
    if usual and last.attention != usual:
        found.append(
            f"the attention kernel is {last.attention or 'not known'}, and was {usual}: zoetrope health"
        )
    usual_asked = _commonest([run.parameters for run in like])
    if usual_asked is not None and last.parameters != usual_asked:
        parameters = ", ".join(f"{key} {value}" for key, value in last.parameters) or "the defaults"
        found.append(f"the parameters are others ({parameters})")
    if last.fallbacks and last.fallbacks != _commonest([run.fallbacks for run in like]):
        found.append(f"it ran with less memory at a time ({', '.join(last.fallbacks)})")
    clocks = [run.mhz for run in like if run.mhz is not None]
    if last.mhz is not None and clocks and last.mhz < CLOCKS * median(clocks):
        why = f", limited by {', '.join(last.slowed_by)}" if last.slowed_by else ""
        found.append(
            f"the core clock was {last.mhz:.0f} MHz, and is {median(clocks):.0f} as a rule{why}:"
            " zoetrope gpu status"
        )
    if (version := _commonest([run.version for run in like])) and last.version != version:
        found.append(f"ComfyUI is {last.version}, and was {version}")
    return tuple(found or _possible(last, like))


def _possible(last: MadeStage, like: Sequence[MadeStage]) -> list[str]:
    """Name what nothing recorded speaks against, in the same order."""
    parameters = ", ".join(f"{key} {value}" for key, value in last.parameters)
    busy = "other work on this host's processors at the time: uptime, top"
    if last.processors:
        return [
            f"the engine {last.engine} computes on processors, not on a GPU: see ComfyUI's log",
            busy,
            "a host that swaps: free -h",
        ]
    possible = [
        (not like, f"another attention kernel than was chosen ({last.attention or 'not known'}): zoetrope health"),
        (True, "a LoRA that was not loaded (look for `lora key not loaded` in ComfyUI's log)"),
        (bool(parameters and not like), f"the parameters ({parameters})"),
        (last.mhz is None or not like, "clocks that are held down: zoetrope gpu status"),
        (True, "blocks or the text encoder that wait in host memory, or a host that swaps"),
        (True, "compilation after a change of size, or none where there was some"),
        (True, busy),
    ]  # fmt: skip
    return [text for is_open, text in possible if is_open]


def _commonest(values: Sequence[Value]) -> Value | None:
    return max(values, key=values.count, default=None)


def _seconds(attempt: Attempt) -> float | None:
    if attempt.gpu is not None and attempt.gpu.seconds > 0:
        return attempt.gpu.seconds
    if attempt.started is None or attempt.ended is None:
        return None
    return attempt.ended - attempt.started
