"""One part of the run: its seed, its time, its folder, and what it counted."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import NoReturn

import msgspec


class BrokenPromise(AssertionError):
    """Something that must never happen has happened."""


class UnfitMachineError(Exception):
    """Here a part cannot show what is promised."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A measured value and the most that it may be."""

    value: float
    unit: str
    limit: float


class Report(msgspec.Struct, kw_only=True):
    """What a part has to say when it is over; `points` are counts of one kind by place."""

    name: str
    seed: int
    seconds: float = 0.0
    counts: dict[str, int] = {}
    points: dict[str, int] = {}
    figures: dict[str, Figure] = {}
    broken: str = ""  # the sentence, if a promise was broken
    unfit: str = ""  # the sentence, if the part cannot run on this machine
    kept: str = ""  # the folder that shows it


class Part:
    """What a part works with; the same seed gives the same attack, as far as processes allow."""

    def __init__(self, name: str, *, seed: int, root: Path, seconds: float) -> None:
        self.name = name
        self.seed = seed
        self.root = root
        self.seconds = seconds
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.figures: dict[str, Figure] = {}
        self._begun = time.monotonic()
        self._said = self._begun

    @property
    def elapsed(self) -> float:
        """For how many seconds it has been running."""
        return time.monotonic() - self._begun

    def left(self, share: float = 1.0) -> bool:
        """Return whether there is time for another round, within a share of all of it."""
        return self.elapsed < self.seconds * share

    def say(self, sentence: str) -> None:
        """Show how far it is."""
        print(f"[{self.name} {self.elapsed:4.0f}s] {sentence}", flush=True)

    def tick(self, every: float = 15.0) -> None:
        """Show the counts now and then."""
        if time.monotonic() - self._said >= every:
            self._said = time.monotonic()
            self.say(", ".join(f"{name} {number}" for name, number in self.counts.items()))

    def measure(self, name: str, value: float, unit: str, *, limit: float) -> None:
        """Note a figure; one beyond its limit is a broken promise at the end."""
        self.figures[name] = Figure(value=value, unit=unit, limit=limit)

    def broke(self, sentence: str) -> NoReturn:
        """End the part: a promise is broken."""
        raise BrokenPromise(sentence)

    def promise(self, holds: object, sentence: str) -> None:
        """End the part unless something holds."""
        if not holds:
            self.broke(sentence)

    def report(self, error: BaseException | None = None) -> Report:
        """Sum up."""
        beyond = [
            f"{name} is {each.value:.4g} {each.unit}, at most {each.limit:g} is promised"
            for name, each in self.figures.items()
            if each.value > each.limit
        ]
        if beyond and (load := os.getloadavg()[0]) > (os.cpu_count() or 1) + 1:
            beyond.append(f"the machine was busy with other things (load {load:.0f})")
        if isinstance(error, UnfitMachineError):
            return Report(name=self.name, seed=self.seed, unfit=str(error))
        broken = f"{type(error).__name__}: {error}" if error is not None else "; ".join(beyond)
        return Report(
            name=self.name,
            seed=self.seed,
            seconds=round(self.elapsed, 1),
            counts=dict(self.counts),
            points=dict(self.points),
            figures=self.figures,
            broken=broken,
            kept=str(self.root) if broken else "",
        )
