from __future__ import annotations

import asyncio

from zoetrope.errors import LedgerError
from zoetrope.store.checkpoints import keep_current
from zoetrope.store.memory import MemoryLedger


class Counting(MemoryLedger):
    """Counts checkpoints; the first two cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.enough = asyncio.Event()

    async def checkpoint(self) -> None:
        self.asked += 1
        if self.asked == 4:
            self.enough.set()
        if self.asked < 3:
            raise LedgerError("The ledger cannot be used: disk I/O error.")


async def test_checkpoints_go_on_after_trouble_which_is_said_once(caplog):
    ledger = Counting()
    task = asyncio.create_task(keep_current(ledger, 0.001))
    async with asyncio.timeout(45):
        await ledger.enough.wait()
    assert not task.done()
    task.cancel()
    assert len([r for r in caplog.records if "no checkpoint" in r.getMessage()]) == 1
