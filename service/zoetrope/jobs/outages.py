"""Since when engines do not answer; a reload of the settings ends no outage."""

from __future__ import annotations


class Outages:
    """Remembers for the whole process since when each engine is away, by its name and address."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def began(self, engine: str, now: float) -> float:
        """Say since when an engine is away: now, unless it was away before."""
        return self._since.setdefault(engine, now)

    def ended(self, engine: str) -> None:
        """Forget an outage: the engine answers."""
        self._since.pop(engine, None)
