"""Lints that were asked for over HTTP: one at a time, on a thread of their own, and only while the sender waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from .problems import BadRequest, LintBusy

Result = TypeVar("Result")

#: More than these are not taken; one graph takes a second or so at most.
MOST = 8
LOOK_SECONDS = 0.2  # between looks whether the sender still waits


class LintQueue:
    """Runs lints in the order in which they come; what waits for a disk never waits for one of them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._inside = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lint")

    async def run(
        self, request: web.Request, work: Callable[[Callable[[], bool]], Result]
    ) -> Result:
        """Do a request's work, which is given a way to ask whether its sender has gone."""
        if self._inside >= self._most:
            raise _busy(f"{self._inside} checks of workflows are waiting already.")
        gone = threading.Event()
        try:
            task = self._thread.submit(work, gone.is_set)
        except RuntimeError as error:
            raise _busy("The host has no thread left for this check.") from error
        future = asyncio.wrap_future(task)
        # Whoever has left reads neither result nor error.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._inside += 1
        try:
            while not (await asyncio.wait({future}, timeout=LOOK_SECONDS))[0]:
                if request.transport is None or request.transport.is_closing():
                    raise BadRequest(
                        "The connection was closed while the check ran.", "Send it again."
                    )
            return future.result()
        finally:
            gone.set()
            task.cancel()
            self._inside -= 1


def _busy(sentence: str) -> LintBusy:
    return LintBusy(sentence, "Try again in some seconds.")
