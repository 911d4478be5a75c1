"""Checkpoints: what is in the ledger's log comes into its file, so that a file that people copy is minutes old."""

from __future__ import annotations

import asyncio
import logging

from ..errors import DiskFull, LedgerError
from .protocol import JobStore

log = logging.getLogger("zoetrope.ledger")

EVERY_SECONDS = 60.0


async def keep_current(ledger: JobStore, every: float = EVERY_SECONDS) -> None:
    """Bring the ledger's file up to date again and again, until cancelled; nobody waits for it."""
    logged = None
    while True:
        await asyncio.sleep(every)
        try:
            await ledger.checkpoint()
        except (LedgerError, DiskFull) as error:
            # Nothing is lost: the log holds it, and health says what is wrong with the ledger.
            if error.reason != logged:
                log.warning("no checkpoint: %s", error, extra={"action": "checkpoint"})
            logged = error.reason
        else:
            logged = None
