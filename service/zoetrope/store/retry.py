"""Asking the ledger again: at the start nothing goes on without its answer, and its problem may pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import DiskFull, LedgerError, ZoetropeError

log = logging.getLogger("zoetrope.ledger")

T = TypeVar("T")

RETRY_SECONDS = 5.0


async def until_answered(
    ask: Callable[[], Awaitable[T]], meanwhile: Callable[[ZoetropeError], None] | None = None
) -> T:
    """Ask the ledger until it answers; `meanwhile` is called with the problem after each try."""
    logged = None
    while True:
        try:
            return await ask()
        except (LedgerError, DiskFull) as error:
            if error.reason != logged:
                log.error("%s", error, extra={"action": error.key})  # noqa: TRY400
            logged = error.reason
            if meanwhile is not None:
                meanwhile(error)
            await asyncio.sleep(RETRY_SECONDS)
