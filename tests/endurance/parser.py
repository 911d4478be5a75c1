"""A parser as the fuzzing sees it: a function of bytes, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Parser(msgspec.Struct, frozen=True, kw_only=True):
    """One parser; what it raises besides `may` is a crash."""

    take: Callable[[bytes], object]
    may: tuple[type[BaseException], ...]
    seeds: tuple[bytes, ...]
    cost: float = 1.0  # how much longer than others it takes
