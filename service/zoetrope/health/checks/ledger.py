"""Can the ledger be written, and is its file sound?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from ...runtime import Runtime
from ...store.protocol import JobStore
from ..base import CheckResult, ago

EVERY = 3600.0  # seconds between two readings of the whole file
NAMED = 3  # jobs that are named; the rest is counted
SLOW = 1.0  # seconds for one small write


class LedgerCheck:
    """Writes one row each time, and has the whole file read through now and then next to it."""

    name = "ledger"

    def __init__(self, runtime: Runtime, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None
        self._begun = float("-inf")
        self._damage: str | None = None

    async def look(self) -> CheckResult:
        """Say whether the ledger takes a row, and what the last reading of the file found."""
        ledger = self._runtime.ledger
        if ledger is None:
            reason = self._runtime.problem
            return CheckResult(
                name=self.name,
                level="failing",
                found=reason.sentence if reason else "The ledger is not open yet.",
                next_step=(reason.next_step if reason else "")
                or "Wait a moment; if it does not open: journalctl -u zoetrope -e",
            )
        took = await ledger.ping()
        self._read_through(ledger)
        if self._damage is not None:
            file = self._runtime.settings.ledger_file
            return CheckResult(
                name=self.name,
                level="failing",
                found=f"{file} is damaged: {self._damage}",
                next_step=(
                    f"Stop zoetrope, keep a copy of {file}, check the disk (smartctl), then"
                    " restore a backup (zoetrope restore FILE), or move the file away to start with"
                    " an empty ledger."
                ),
            )
        if (back := ledger.put_back) is not None:
            return CheckResult(
                name=self.name, level="degraded", found=back.sentence, next_step=back.next_step
            )
        if lost := ledger.unreadable:
            return self._lost(lost)
        if took > SLOW:
            return CheckResult(
                name=self.name,
                level="degraded",
                found=f"A small write took {took:.1f} s.",
                next_step="See which process keeps the disk busy: iotop; put state.path on a local disk.",
            )
        return CheckResult(name=self.name, level="ok", found=self._sound(took))

    def _lost(self, lost: Mapping[str, str]) -> CheckResult:
        jobs = [job[:8] for job in lost]
        named = ", ".join(jobs[:NAMED]) + (f" and {len(jobs) - NAMED} more" if jobs[NAMED:] else "")
        return CheckResult(
            name=self.name,
            level="degraded",
            found=f"Rows that cannot be read, so no list shows them: {named}"
            f" ({next(iter(lost.values()))}).",
            next_step="If a newer zoetrope wrote them, run that version. Otherwise keep a copy of"
            f" {self._runtime.settings.ledger_file} and report this; their files are kept in work/.",
        )

    def _sound(self, took: float) -> str:
        written = f"A row is written in {took * 1000:.0f} ms"
        if self._reading is not None and not self._reading.done():
            return f"{written}; the file is being checked."
        return f"{written}; the last check passed {ago(self._clock() - self._begun)} ago."

    def _read_through(self, ledger: JobStore) -> None:
        if self._reading is not None and not self._reading.done():
            return
        if self._clock() - self._begun >= EVERY:
            self._begun = self._clock()
            # Beside the check: a large file takes longer than anybody who asks will wait.
            self._reading = asyncio.create_task(self._check(ledger), name="ledger quick_check")

    async def _check(self, ledger: JobStore) -> None:
        self._damage = await ledger.check()


def make(runtime: Runtime) -> LedgerCheck:
    """Make the check."""
    return LedgerCheck(runtime)
