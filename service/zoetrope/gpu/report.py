"""What finished videos took, by recipe, GPU and profile: whether a profile pays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

import msgspec

from ..domain.usage import STOCK, Usage


class ReportVideo(msgspec.Struct, frozen=True):
    """One finished video: what each of its stages took, in its successful attempt."""

    recipe: str
    usages: tuple[Usage, ...]


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """The videos of one recipe, made on one GPU under one profile; figures are medians per video."""

    recipe: str
    card: str
    profile: str
    videos: int
    seconds: float
    watt_hours: float | None
    mean_watts: float | None
    mean_core_mhz: float | None
    against_stock: str = ""  # "-19 % energy, +12 % time", where both are known


def tabulate(videos: Iterable[ReportVideo]) -> tuple[ReportRow, ...]:
    """Group videos, and compare each profile with stock."""
    groups: defaultdict[tuple[str, str, str], list[ReportVideo]] = defaultdict(list)
    for video in videos:
        if video.usages:
            cards = dict.fromkeys(usage.name for usage in video.usages)
            profiles = dict.fromkeys(usage.profile for usage in video.usages)
            groups[video.recipe, " + ".join(cards), " + ".join(profiles)].append(video)
    rows = [_row(*key, group) for key, group in sorted(groups.items())]
    stock = {(row.recipe, row.card): row for row in rows if row.profile == STOCK}
    return tuple(_compared(row, stock.get((row.recipe, row.card))) for row in rows)


def lines(rows: Sequence[ReportRow]) -> Iterator[str]:
    """Write rows as a table."""
    head = ("RECIPE", "GPU", "PROFILE", "VIDEOS", "SECONDS", "WH", "WATTS", "MHZ", "AGAINST STOCK")
    cells = [head]
    for row in rows:
        figures = (f"{row.seconds:.0f}", _told(row.watt_hours, 1), _told(row.mean_watts, 0))
        clock = _told(row.mean_core_mhz, 0)
        name = (row.recipe, row.card, row.profile, str(row.videos))
        cells.append((*name, *figures, clock, row.against_stock))
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    for number, line in enumerate(cells):
        shown = [
            # Figures stand right, words left.
            cell.rjust(width) if 3 <= i <= 7 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        if number == 0 or rows:
            yield "  ".join(shown).rstrip()


def _row(recipe: str, card: str, profile: str, group: Sequence[ReportVideo]) -> ReportRow:
    energies = [_total(video) for video in group]
    known = [energy for energy in energies if energy is not None]
    return ReportRow(
        recipe=recipe,
        card=card,
        profile=profile,
        videos=len(group),
        seconds=round(median(sum(usage.seconds for usage in video.usages) for video in group), 1),
        watt_hours=round(median(known), 3) if known else None,
        mean_watts=_middle(usage.mean_watts for video in group for usage in video.usages),
        mean_core_mhz=_middle(usage.mean_core_mhz for video in group for usage in video.usages),
    )


def _total(video: ReportVideo) -> float | None:
    energies = [usage.energy_wh for usage in video.usages]
    return None if None in energies else sum(energy or 0.0 for energy in energies)


def _compared(row: ReportRow, stock: ReportRow | None) -> ReportRow:
    if stock is None or stock is row or not stock.seconds:
        return row
    words = [f"{row.seconds / stock.seconds - 1:+.0%} time"]
    if row.watt_hours is not None and stock.watt_hours:
        words.insert(0, f"{row.watt_hours / stock.watt_hours - 1:+.0%} energy")
    return msgspec.structs.replace(row, against_stock=", ".join(words).replace("%", " %"))


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 1) if known else None


def _told(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
