"""Recent failures: what failed or was rejected within a day is said where people look, since nothing else shows it."""

from __future__ import annotations

from ..domain.query import ENDED_BADLY, RecentFailures
from ..store.protocol import JobIndex

WITHIN_SECONDS = 86_400.0


async def look(ledger: JobIndex, now: float, *, limit: int = 0) -> RecentFailures:
    """Find what failed or was rejected within a day: how much, and the last few by the time of their end."""
    return await ledger.recent_failures(now - WITHIN_SECONDS, limit)


def counted(found: RecentFailures) -> str:
    """Say how many jobs ended badly within a day, and how to see them; nothing where none did."""
    states = [state for state in ENDED_BADLY if found.counts[state]]
    if not states:
        return ""
    words = ", ".join(f"{found.counts[state]} {state}" for state in states)
    asked = " ".join(f"--state {state}" for state in states)
    return f"In the last 24 hours {words} (zoetrope jobs {asked})"
