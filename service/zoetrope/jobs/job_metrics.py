"""What happened to a job between two of its states, as values worth counting."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..domain.job import Attempt, Job, Progress, Stage, State
from ..gpu.usage import JOULES_PER_WATT_HOUR


class StageDone(msgspec.Struct, frozen=True):
    """A stage's files are here and were checked."""

    recipe: str
    stage: str
    seconds: float  # since the engine was seen at work on it


class FallbackUsed(msgspec.Struct, frozen=True):
    """An attempt failed, and the next one has one more fallback."""

    fallback: str


class VideoDone(msgspec.Struct, frozen=True):
    """A video lies in the outbox."""

    recipe: str
    joules: float | None  # of all attempts; None where a GPU did not say


class JobRejected(msgspec.Struct, frozen=True):
    """A picture, a ticket or a graph was rejected."""

    key: str


Metric = StageDone | FallbackUsed | VideoDone | JobRejected


def measured(before: Job | None, after: Job) -> tuple[Metric, ...]:
    """Say what is true of a job now that was not before; between a job and itself, nothing happened."""
    return tuple(_differences(before, after))


def _differences(before: Job | None, after: Job) -> Iterator[Metric]:
    earlier = {stage.name: stage for stage in before.stages} if before is not None else {}
    recipe = after.ticket.recipe
    for stage in after.stages:
        was = earlier.get(stage.name)
        if stage.state is Progress.DONE and (was is None or was.state is not Progress.DONE):
            yield StageDone(recipe, stage.name, _seconds(stage))
        if (
            stage.state is Progress.PENDING
            and was is not None
            and _failures(was) < _failures(stage)
        ):
            yield from (
                FallbackUsed(fallback)
                for fallback in stage.fallbacks
                if fallback not in was.fallbacks
            )
    if before is not None and before.state is after.state:
        return
    if after.state is State.DONE:
        yield VideoDone(recipe, _joules(after))
    elif after.state is State.REJECTED:
        yield JobRejected(after.reason.key if after.reason is not None else "")


def _failures(stage: Stage) -> int:
    return sum(1 for attempt in stage.attempts if attempt.state is Progress.FAILED)


def _seconds(stage: Stage) -> float:
    """Say how long the attempt that succeeded took; a clock that was set back makes it no less than 0."""
    last = stage.attempts[-1] if stage.attempts else None
    if last is None or last.ended is None:
        return 0.0
    # An engine that has every result at hand is done before it is seen at work.
    begun = last.started if last.started is not None else last.submitted
    return max(0.0, last.ended - begun)


def _joules(job: Job) -> float | None:
    """Sum up what every attempt took of its GPU; half a sum would only mislead."""
    attempts = [attempt for stage in job.stages for attempt in stage.attempts if _worked(attempt)]
    energies = [attempt.gpu.energy_wh if attempt.gpu else None for attempt in attempts]
    known = [energy for energy in energies if energy is not None]
    if not known or len(known) < len(energies):
        return None
    return sum(known) * JOULES_PER_WATT_HOUR


def _worked(attempt: Attempt) -> bool:
    """Whether an engine was at work for this attempt, as far as anybody saw."""
    return attempt.started is not None or attempt.gpu is not None
