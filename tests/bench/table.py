"""One figure with its target, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """What was measured, and what it should be."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


def percentile(values: Iterable[float], share: float) -> float:
    """Give the value below which a share of all values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def render(figures: list[Figure]) -> str:
    """Lay the figures out as a table."""
    rows = [("figure", "measured", "target", "", "")]
    for figure in figures:
        sign = "<=" if figure.at_most else ">="
        target = f"{sign} {figure.target:g} {figure.unit}" if figure.target is not None else ""
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        value = f"{figure.value:.4g} {figure.unit}"
        rows.append((figure.name, value, target, verdict, figure.note))
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
