"""A process that ends at any step: what comes after the n-th call of the file system never happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.precious import CALLS

# Only these change anything; between two looks, a kill is the same as before both.
CHANGES = tuple(
    name for name in CALLS if name not in ("stat", "lstat", "scandir", "listdir", "readlink")
)


class Killed(BaseException):
    """The process ended here."""


class Kill:
    """Ends the process before the n-th call that may change the file system."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.done = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the program and the file system."""
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._wrap(getattr(os, name), name))

    def _wrap(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                self.done = True
                if name == "close":
                    real(*args, **kwargs)  # as the end of a process does
                raise Killed
            return real(*args, **kwargs)

        return call
