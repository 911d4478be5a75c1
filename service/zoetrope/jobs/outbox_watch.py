"""Watches the outbox, so that people hear that it is absent or closed before a video is finished."""

from __future__ import annotations

import asyncio
import logging

from ..errors import Reason
from .outbox import Outbox

log = logging.getLogger("zoetrope.jobs")

LOOK_SECONDS = 10.0


class OutboxWatch:
    """Looks again and again whether videos can be put into the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.problem: Reason | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._set(await asyncio.to_thread(self._outbox.look))
            await asyncio.sleep(LOOK_SECONDS)

    def _set(self, problem: Reason | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("videos wait for the outbox: %s", problem, extra={"action": problem.key})
        elif problem is None and self.problem is not None:
            log.info("the outbox is there again", extra={"action": "outbox-back"})
        self.problem = problem
