"""The plan of a run: which parts there are, and how the time is shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tests.endurance.chaos import chaos
from tests.endurance.crowd import crowd
from tests.endurance.full import full
from tests.endurance.fuzz import fuzz
from tests.endurance.kills import kills
from tests.endurance.machine import machine
from tests.endurance.modes import modes
from tests.endurance.part import Part
from tests.endurance.power import power
from tests.endurance.recovery import recovery
from tests.endurance.share import share
from tests.endurance.soak import soak

WHOLE = 26 * 60.0  # what is left over is for parts that look at everything once more at their end
SHORT = 6 * 60.0
LANES = 2
LEAST = 0.2  # of its time, that a part has at least, however late the parts before it ended


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the run; one that measures has the machine for itself."""

    run: Callable[[Part], None]
    weight: float
    measures: bool = False
    copies: int = 1
    least: float = 0.0  # seconds; with less it has nothing to say, and is left out unless asked for


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A part with its time and its seed."""

    name: str
    seconds: float
    seed: int


#: Four whole runs come to every figure of the promises but the soak's, which takes a run of its own (make soak).
PARTS: dict[str, Kind] = {
    "kills": Kind(run=kills, weight=7, copies=2),
    "chaos": Kind(run=chaos, weight=4),
    "full": Kind(run=full, weight=3),
    "power": Kind(run=power, weight=3),
    "modes": Kind(run=modes, weight=3.5),
    "share": Kind(run=share, weight=2.5),
    "fuzz": Kind(run=fuzz, weight=1.5),
    "machine": Kind(run=machine, weight=2.5),
    "recovery": Kind(run=recovery, weight=0.5, measures=True),
    "crowd": Kind(run=crowd, weight=0.5, measures=True),
    "soak": Kind(run=soak, weight=2, measures=True, least=600),
}


def lanes(only: Sequence[str] | None, seconds: float, seed: int) -> list[list[list[Task]]]:
    """Share the time out: first lanes of parts side by side, then those that measure, one by one."""
    chosen = {name: kind for name, kind in PARTS.items() if not only or name in only}
    unit = _unit(chosen, seconds)
    if not only:
        chosen = {name: k for name, k in chosen.items() if k.weight * unit >= k.least}
        unit = _unit(chosen, seconds)
    beside = [
        Task(name=name, seconds=round(kind.weight * unit, 1), seed=seed + 1000 * copy)
        for name, kind in chosen.items()
        if not kind.measures
        for copy in range(kind.copies)
    ]
    rows: list[list[Task]] = [[] for _ in range(LANES)]
    for task in sorted(beside, key=lambda each: -each.seconds):
        min(rows, key=lambda row: sum(each.seconds for each in row)).append(task)
    alone = [
        [[Task(name=name, seconds=round(kind.weight * unit, 1), seed=seed)]]
        for name, kind in chosen.items()
        if kind.measures
    ]
    return [rows, *alone] if beside else alone


def share_out(tasks: Sequence[Task], left: float) -> Task:
    """Give the first of a lane's tasks its share of the time that is left for all of them."""
    first = tasks[0]
    share = left / sum(task.seconds for task in tasks)
    seconds = max(LEAST * first.seconds, share * first.seconds)
    return msgspec.structs.replace(first, seconds=round(seconds, 1))


def _unit(kinds: Mapping[str, Kind], seconds: float) -> float:
    """Give the seconds of a weight of one; side by side, the lanes have so many times the time."""
    work = sum(k.weight * (LANES if k.measures else k.copies) for k in kinds.values())
    return seconds * LANES / work if work else 0.0
