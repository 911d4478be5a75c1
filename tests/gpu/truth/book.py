"""The record of a run: a row for each thing that was measured, on the disk after each."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Skip(Exception):
    """What a row needs is not there; the text says what."""


class Book:
    """Takes rows within a time for all of them."""

    def __init__(self, file: Path, seconds: float, only: list[str]) -> None:
        self.file, self.only = file, only
        self.end = time.monotonic() + seconds
        self.limit = seconds
        self.said: dict[str, Any] = {"schema": 1, "rows": {}}
        if file.exists():  # a run may be made in parts
            self.said = json.loads(file.read_text())

    def left(self) -> float:
        """Give the seconds that are left for everything."""
        return self.end - time.monotonic()

    def wants(self, name: str) -> bool:
        """Return whether a row is to be measured in this part of the run."""
        return not self.only or any(part in name for part in self.only)

    def row(self, name: str, least: float, measure: Callable[[], Any], most: float = 1e9) -> None:
        """Measure one thing; it is skipped where less than `least` seconds are left, and gets `most` at most.

        A row that fails is a row with its reason: the next ones are worth their time all the same.
        """
        if not self.wants(name):
            return
        began = time.monotonic()
        if self.left() < least:
            found: dict[str, Any] = {
                "absent": f"{max(0.0, self.left()):.0f} s were left, it needs {least:.0f}"
            }
        else:
            self.limit = min(most, self.left() - 3)
            try:
                found = measure()
            except Skip as why:
                found = {"absent": str(why)}
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                found = {"failed": f"{type(error).__name__}: {error} ({where})"[:1200]}
        took = round(time.monotonic() - began, 1)
        self.said["rows"][name] = {"took": took, **found}
        self.save()
        short = {k: v for k, v in found.items() if k not in ("log", "kernels", "report")}
        print(
            f"[{took:6.1f} s, {self.left():4.0f} left] {name}: {json.dumps(short)[:900]}",
            flush=True,
        )

    def save(self) -> None:
        """Put everything on the disk."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.said, indent=1) + "\n")
