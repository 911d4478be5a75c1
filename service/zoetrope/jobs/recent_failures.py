"""Recent failures: what failed or was rejected within a day is said where people look, since nothing else shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..domain.job import State

WITHIN_SECONDS = 86_400.0
ENDED_BADLY = (State.FAILED, State.REJECTED)


def counted(ends: Iterable[tuple[str, float]], now: float) -> str:
    """Say how many of some jobs, by state and time of their end, ended badly within a day, and how to see them."""
    found = Counter(state for state, ended in ends if ended > now - WITHIN_SECONDS)
    states = [state for state in map(str, ENDED_BADLY) if found[state]]
    if not states:
        return ""
    words = ", ".join(f"{found[state]} {state}" for state in states)
    asked = " ".join(f"--state {state}" for state in states)
    return f"In the last 24 hours {words} (zoetrope jobs {asked})"
