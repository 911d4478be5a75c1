"""The record: what all runs counted together, in a file that people read and git keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli

from tests.endurance.part import Report

FILE = Path(__file__).parent / "record.toml"
HEAD = "# Written by `make endurance`. Counts are sums over the runs below that broke no promise.\n"


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over the runs: the worst one, and the last."""

    worst: float
    last: float
    unit: str
    limit: float


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What one part counted in all runs."""

    runs: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = {}
    points: dict[str, int] = {}
    figures: dict[str, Worst] = {}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run: when, of which commit, with which seed, and what it broke."""

    date: str
    commit: str
    seed: int
    minutes: float
    parts: list[str]
    broken: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    run: list[Run] = []
    parts: dict[str, Sums] = {}

    def plus(self, run: Run, reports: Iterable[Report]) -> Record:
        """Give the record with another run; what a broken part counted is not added, nor one that could not run."""
        parts = dict(self.parts)
        for report in reports:
            if not report.broken and not report.unfit:
                parts[report.name] = _added(parts.get(report.name, Sums()), report)
        return Record(run=[*self.run, run], parts=parts)


def read(file: Path = FILE) -> Record:
    """Read the record; there is none before the first run."""
    if not file.exists():
        return Record()
    return msgspec.convert(tomli.loads(file.read_text()), Record)


def write(record: Record, file: Path = FILE) -> None:
    """Write the record."""
    file.write_text(HEAD + dumped(msgspec.to_builtins(record)))


def dumped(tables: Mapping[str, Any]) -> str:
    """Write tables as TOML: plain values first, then tables, each under its whole name."""
    return "".join(_lines(tables, ()))


def _added(sums: Sums, report: Report) -> Sums:
    figures = dict(sums.figures)
    for name, each in report.figures.items():
        before = figures[name].worst if name in figures else each.value
        figures[name] = Worst(
            worst=round(max(before, each.value), 4),
            last=round(each.value, 4),
            unit=each.unit,
            limit=each.limit,
        )
    return Sums(
        runs=sums.runs + 1,
        seconds=round(sums.seconds + report.seconds, 1),
        counts=_together(sums.counts, report.counts),
        points=_together(sums.points, report.points),
        figures=figures,
    )


def _together(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def _lines(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterable[str]:
    for key, value in table.items():
        if not isinstance(value, dict) and not _is_tables(value):
            yield f"{_key(key)} = {_value(value)}\n"
    for key, value in table.items():
        name = (*above, _key(key))
        if isinstance(value, dict):
            if any(not isinstance(each, dict) for each in value.values()):
                yield f"\n[{'.'.join(name)}]\n"
            yield from _lines(value, name)
        elif _is_tables(value):
            for each in value:
                yield f"\n[[{'.'.join(name)}]]\n"
                yield from _lines(each, name)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _key(key: str) -> str:
    plain = key.replace("-", "").replace("_", "")
    return key if plain.isascii() and plain.isalnum() else msgspec.json.encode(key).decode()


def _value(value: object) -> str:
    return msgspec.json.encode(value).decode()
