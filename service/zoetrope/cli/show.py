"""How things look on a terminal: spans of time, states in colour, columns that line up."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Sequence

import click

from ..jobs.progress import prompts_of_others
from ..web.views import JobView

COLOURS = {
    "running": "blue",
    "review": "yellow",
    "done": "green",
    "failed": "red",
    "rejected": "red",
    "ok": "green",
    "degraded": "yellow",
    "failing": "red",
}
# What takes the time once the engine is done with a stage.
BROUGHT = {"fetch": "its file is being fetched", "check": "its video is being checked"}
LONGEST = 28  # columns of a terminal that one cell may take
ENDED = ("done", "failed", "cancelled", "rejected")


def clean(text: str) -> str:
    """Replace what a terminal would interpret; names come from every user who can drop a file."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def coloured(state: str) -> str:
    """Write a state in its colour; click drops it where the output is not a terminal."""
    return click.style(state, fg=COLOURS.get(state))


def span(seconds: float) -> str:
    """Write a span of time in the unit that fits it."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86400:.0f} d"


def age(moment: float) -> str:
    """Write how old something of a unix time is."""
    return span(time.time() - moment)


def ago(moment: float) -> str:
    """Say how long ago a unix time was."""
    return f"{age(moment)} ago"


def progress(job: JobView) -> str:
    """Say how far a job is, or what it waits for, in a few words."""
    live = job.live
    if job.reason is not None and job.state in ("queued", "running", "waiting"):
        return f"waits: {job.reason.sentence}"
    if live is None:
        stage = next((stage for stage in job.stages if stage.state != "done"), None)
        if job.state == "waiting":
            return f"has only its {job.half} picture"
        if job.state in ("queued", "running") and stage is not None:
            return f"{stage.name} next" if job.state == "queued" else stage.name
        return ""
    if live.behind:
        return f"{live.stage} next, behind {prompts_of_others(live.behind)}"
    if job.state == "queued":
        return f"{live.stage} next"
    if live.brings:
        return f"{live.stage} made; {BROUGHT[live.brings]}"
    text = f"{live.stage} {live.fraction * 100:.0f} %"
    if live.maximum > 1:
        text += f", step {live.value:.0f}/{live.maximum:.0f}"
    return text if live.eta is None else f"{text}, {span(live.eta)} left"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, colour: int = -1) -> list[str]:
    """Line columns up and colour the column `colour`; on a terminal, what is too long is cut."""
    cells = [list(head), *([clean(cell) for cell in row] for row in rows)]
    if sys.stdout.isatty():
        _fit(cells, shutil.get_terminal_size((100, 24)).columns)
    widths = [max(_width(row[i]) for row in cells) for i in range(len(head) - 1)]
    lines = []
    for number, row in enumerate(cells):
        parts = []
        for index, cell in enumerate(row):
            text = coloured(cell) if number and index == colour else cell
            if index < len(widths):
                text += " " * (widths[index] - _width(cell))
            parts.append(text)
        line = "  ".join(parts).rstrip()
        lines.append(click.style(line, bold=True) if number == 0 else line)
    return lines


def _fit(cells: list[list[str]], total: int) -> None:
    """Cut long cells in their middle, where a name says least, and the last one to what is left."""
    for row in cells:
        row[:-1] = [_cut(cell, LONGEST) for cell in row[:-1]]
    taken = sum(max(_width(row[i]) for row in cells) + 2 for i in range(len(cells[0]) - 1))
    for row in cells:
        row[-1] = _cut(row[-1], max(20, total - taken), middle=False)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _cut(text: str, width: int, *, middle: bool = True) -> str:
    if _width(text) <= width:
        return text
    tail = text[-8:] if middle else ""
    head = text[: len(text) - len(tail)]
    while head and _width(head) + 1 + _width(tail) > width:
        head = head[:-1]
    return f"{head}…{tail}"
