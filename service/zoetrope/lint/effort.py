"""How much one lint may look at: graphs come from strangers, and rules follow links through all of them."""

from __future__ import annotations

from collections.abc import Callable

#: Looks at a node, an input or a finding; the graphs of the recipes take some thousands.
MOST = 250_000


class Spent(Exception):
    """The graph takes more looks than one lint has."""


class Abandoned(Exception):
    """No one waits for the findings any more."""


class Effort:
    """Counts the looks of one lint, and ends it when there are too many or when its sender has gone."""

    def __init__(self, most: int = MOST, abandoned: Callable[[], bool] = lambda: False) -> None:
        self._most = most
        self._abandoned = abandoned
        self.looks = 0

    def look(self, times: int = 1) -> None:
        """Count one look or several."""
        self.looks += times
        if self.looks > self._most:
            raise Spent
        if self._abandoned():
            raise Abandoned
