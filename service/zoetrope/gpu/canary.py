"""What attention kernels' self-tests found under a clock profile, before engines started."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..engine.report import ReportUnknown, read
from ..settings import EngineSettings


class Mismatch(msgspec.Struct, frozen=True):
    """Kernels that are right at stock clocks, and wrong at a profile."""

    engine: str
    profile: str
    sentence: str


class Canary:
    """Reads each engine's report once after it was written."""

    def __init__(self, engines: Sequence[EngineSettings], since: float | None = None) -> None:
        self._reports = {engine.name: engine.report for engine in engines if engine.report}
        # An older report was passed on by an earlier process, and may have been forgiven since.
        self._since = time.time() if since is None else since
        self._seen: dict[str, float] = {}

    def look(self) -> Iterator[Mismatch]:
        """Give what is new."""
        for engine, file in self._reports.items():
            written = _written(file)
            if written <= max(self._since, self._seen.get(engine, 0.0)):
                continue
            self._seen[engine] = written
            try:
                found = read(file)
            except ReportUnknown:
                continue  # the kernel check says why
            if found.mismatch and found.profile:
                wrong = "; ".join(f"{kernel.name}: {kernel.reason}" for kernel in found.mismatch)
                sentence = f"Attention kernels that are correct at stock clocks are wrong under it ({wrong})."
                yield Mismatch(engine, found.profile, sentence)


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
