"""Looks at the inbox's file system on a thread, which may wait for a share's server for as long as that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from ..errors import Reason
from .presence import hanging, waiting

log = logging.getLogger("zoetrope.inbox")

Result = TypeVar("Result")

PATIENCE_SECONDS = 30.0  # for one look at the file system


class DiskThread:
    """Does one thing after the other, and says so when there is no answer."""

    def __init__(
        self, root: str, clock: Callable[[], float], on_progress: Callable[[], None]
    ) -> None:
        self._root = root
        self._clock = clock
        self._on_progress = on_progress
        self.problem: Reason | None = None

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do something with the file system; however long it takes, its answer is waited for."""
        # Empty while no thread is free: then nothing was asked of any disk yet.
        began: list[float] = []

        def on_thread() -> Result:
            began.append(self._clock())
            return work()

        future = asyncio.ensure_future(asyncio.to_thread(on_thread))
        # At the end of the service its result is not waited for any more, however it ends.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        while not (await asyncio.wait({future}, timeout=PATIENCE_SECONDS))[0]:
            # Waiting for a share's server is work: the watchdog must not kill the service for it.
            self._on_progress()
            if began and self._clock() - began[0] < PATIENCE_SECONDS / 2:
                continue
            reason = (hanging if began else waiting)(self._root)
            if self.problem != reason:
                self.problem = reason
                log.error("%s", reason, extra={"action": reason.key})
        self.problem = None
        return future.result()
