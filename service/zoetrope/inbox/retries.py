"""Work that is done again and again while the host is in trouble, and what that trouble is."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

from ..errors import Reason, ZoetropeError
from ..settings import Settings
from .trouble import trouble_of

log = logging.getLogger("zoetrope.inbox")

RETRY_SECONDS = 5.0  # between tries


class Retries:
    """Tries until it works; each kind of trouble is said once."""

    def __init__(self, settings: Settings, seconds: float, *, on_end: Callable[[], None]) -> None:
        self._settings = settings
        self._seconds = seconds
        self._on_end = on_end
        self._number = itertools.count()
        self._troubles: dict[int, Reason] = {}

    @property
    def problem(self) -> Reason | None:
        """What keeps some work from being done."""
        return next(iter(self._troubles.values()), None)

    async def until_done(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something again and again while the host is in trouble."""
        number = next(self._number)
        try:
            while True:
                try:
                    await work()
                except (OSError, ZoetropeError) as error:
                    self._meet(number, trouble_of(error, self._settings))
                else:
                    return
                await asyncio.sleep(self._seconds)
        finally:
            if self._troubles.pop(number, None) is not None and not self._troubles:
                log.info("the inbox goes on", extra={"action": "inbox-goes-on"})
            self._on_end()

    def _meet(self, number: int, reason: Reason) -> None:
        if all(reason.key != known.key for known in self._troubles.values()):
            log.error("%s", reason, extra={"action": reason.key})
        self._troubles[number] = reason
