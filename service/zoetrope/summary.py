"""The state of the service in one sentence: for `systemctl status` and for the head of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .dispatch.pause import OutsideHours, Standstill
from .domain.job import State
from .domain.query import JobQuery
from .errors import Reason
from .gpu.card import Sample
from .jobs.engine_disk import ENGINE_DISK
from .jobs.engine_watch import UNKNOWN
from .jobs.progress import Live, prompts_of_others
from .jobs.worker import WorkerStatus
from .runtime import Runtime

SHOWN = 4  # jobs that the sentence names; a host has an engine or two


def rendering(name: str, live: Live) -> str:
    """Say how far one job is: "cat.png: i2v 42 % (step 8/20)"."""
    step = f" (step {live.value:.0f}/{live.maximum:.0f})" if live.maximum > 1 else ""
    return f"{name}: {live.stage} {live.fraction:.0%}{step}".replace("%", " %")


def glance(readings: Iterable[Sample]) -> str:
    """Say how the GPUs are in two figures each: "GPU 61 °C 2100 MHz"."""
    figures = [
        f"{reading.celsius} °C {reading.core_mhz} MHz"
        for reading in readings
        if reading.celsius is not None and reading.core_mhz is not None
    ]
    return f"GPU {', '.join(figures)}" if figures else ""


def summary(
    counts: Mapping[State, int],
    workers: Sequence[WorkerStatus],
    problem: Reason | None = None,
    now: Sequence[str] = (),
    cards: str = "",
    kept: Mapping[str, Reason] | None = None,
    standstill: Standstill | None = None,
    outside_hours: OutsideHours | None = None,
) -> str:
    """Say how the service stands: "rendering cat.png: i2v 42 % (step 8/20), 14 queued; engine gpu-0 is up"."""
    if problem is not None:
        return str(problem)
    words = [f"rendering {', '.join(now)}"] if now else []
    words += [
        f"{number} {word}"
        for state, word in (
            (State.RUNNING, "" if now else "running"),
            (State.QUEUED, "queued"),
            (State.REVIEW, "to review"),
        )
        if word and (number := counts.get(state, 0))
    ]
    engines = ", ".join(_engine(worker) for worker in workers)
    stands = standstill.reason.sentence.rstrip(".") if standstill is not None else ""
    outside = outside_hours.sentence.rstrip(".") if outside_hours is not None else ""
    standing = "" if stands else "idle"
    parts = [stands or outside, ", ".join(words) or standing, engines, _keeping(kept or {}), cards]
    return "; ".join(text for text in parts if text)


def _engine(worker: WorkerStatus) -> str:
    state = "up" if worker.up else "down"
    if worker.reason is not None and worker.reason.key == UNKNOWN:
        state = "not checked yet"
    others = f" with {prompts_of_others(worker.others)}" if worker.others else ""
    reason = worker.reason if not worker.up else None
    why = f": {reason.sentence.rstrip('.')}" if reason and reason.key in ENGINE_DISK else ""
    return f"engine {worker.name} is {state}{others}{why}"


def _keeping(kept: Mapping[str, Reason]) -> str:
    """Say why jobs wait through no fault of theirs; the first reason stands for all."""
    if not kept:
        return ""
    jobs = "1 job waits" if len(kept) == 1 else f"{len(kept)} jobs wait"
    return f"{jobs}: {next(iter(kept.values())).sentence.rstrip('.')}"


async def sentence(runtime: Runtime) -> str:
    """Say how the whole service stands."""
    ledger, conductor = runtime.ledger, runtime.conductor
    if ledger is None:
        return str(runtime.problem) if runtime.problem else "starting"
    status = conductor.status() if conductor else None
    counts = await ledger.counts()
    now = []
    if conductor is not None and counts.get(State.RUNNING):
        for row in await ledger.page(JobQuery(states=(State.RUNNING,), limit=SHOWN)):
            live = conductor.live(row.job.id) if row.job.reason is None else None
            if live is not None:
                image = row.job.name
                now.append(rendering(image, live))
    # Only while jobs run: the line of an idle host does not change, and so adds nothing to the journal.
    tuner = runtime.tuner if now else None
    return summary(
        counts,
        status.workers if status else (),
        status.paused if status else None,
        now,
        glance(tuner.watch.latest.values()) if tuner is not None else "",
        status.waiting if status else None,
        status.standstill if status else None,
        status.outside_hours if status else None,
    )
