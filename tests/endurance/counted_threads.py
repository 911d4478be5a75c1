"""Threads that say whether one of them works: until none does, folders may change under whoever looks at them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class CountedThreads(ThreadPoolExecutor):
    """A pool of threads that knows what it was given and has not done yet."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._under_way: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether anything that was given is not done."""
        return any(not future.done() for future in self._under_way)

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a thread do something."""
        future = super().submit(work, *args, **kwargs)
        self._under_way = {each for each in self._under_way if not each.done()} | {future}
        return future
