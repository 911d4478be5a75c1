"""What a check is, and how all of them are asked at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from ..errors import ZoetropeError

Level = Literal["ok", "degraded", "failing"]
ORDER: tuple[Level, ...] = ("ok", "degraded", "failing")


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found, and what to do next; nothing needs doing when it is ok."""

    name: str
    level: Level
    found: str
    next_step: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts and the worst of their levels."""

    level: Level
    checks: tuple[CheckResult, ...]
    taken: float  # unix time


class Check(Protocol):
    """One question about the world."""

    @property
    def name(self) -> str:
        """What is looked at, in one word."""
        ...

    async def look(self) -> CheckResult | None:
        """Look, and say what was found; None where there is nothing to look at."""
        ...


class Health:
    """Asks every check at once, none for longer than `patience`, and keeps the answer for a moment."""

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        patience: float = 5.0,
        keep: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = tuple(checks)
        self._patience = patience
        self._keep = keep
        self._clock = clock
        self._last: tuple[float, Report] | None = None
        self._one = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked at, in this order."""
        return tuple(check.name for check in self._checks)

    async def report(self) -> Report:
        """Give the present verdicts; many askers at once cause one look."""
        async with self._one:
            if self._last is None or self._clock() - self._last[0] >= self._keep:
                asked = await asyncio.gather(*(self._ask(check) for check in self._checks))
                verdicts = [verdict for verdict in asked if verdict is not None]
                report = Report(level=worst(verdicts), checks=tuple(verdicts), taken=time.time())
                self._last = (self._clock(), report)
            return self._last[1]

    async def _ask(self, check: Check) -> CheckResult | None:
        try:
            async with asyncio.timeout(self._patience):
                return await check.look()
        except TimeoutError:
            return CheckResult(
                name=check.name,
                level="failing",
                found=f"No answer within {self._patience:g} seconds.",
                next_step="Check the disks and shares that it waits for: dmesg, findmnt, iostat.",
            )
        except ZoetropeError as error:
            reason = error.reason
            return CheckResult(
                name=check.name,
                level="failing",
                found=reason.sentence,
                next_step=reason.next_step or "See the journal: journalctl -u zoetrope -e",
            )
        except Exception as error:  # a broken check must not hide the verdicts of the others
            return CheckResult(
                name=check.name,
                level="failing",
                found=f"The check itself failed: {type(error).__name__}: {error}",
                next_step="See the journal: journalctl -u zoetrope -e",
            )


def worst(verdicts: Sequence[CheckResult]) -> Level:
    """Give the worst of some levels."""
    return max((verdict.level for verdict in verdicts), key=ORDER.index, default="ok")


def ago(seconds: float) -> str:
    """Say a span of time in the unit that fits it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
