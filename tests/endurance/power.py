"""Power cuts: what was not flushed is empty, torn or never was; and a disk that lied about its flushes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.endurance.part import Part
from tests.endurance.world import World
from zoetrope.jobs.outbox_identity import MARK

ROUND = 8
# A log of changes this long is copied into the ledger's file by itself; then it cannot be cut any more.
COPIED = 900 * 4120


def power(part: Part) -> None:
    """Cut the power at random moments, and begin again with what such a disk holds."""
    world = World(part)
    try:
        world.engine.start()
        while part.left():
            for _ in range(ROUND):
                if part.left():
                    _cut(part, world)
                    part.tick()
            world.settle()
    finally:
        world.close()


def _cut(part: Part, world: World) -> None:
    chance = part.random
    world.engine.revive()
    world.drop_something()
    world.service.start(wait=False, prepare=world.prepare)
    time.sleep(chance.uniform(0.1, 1.5))
    world.service.kill()
    if chance.random() < 0.5:
        world.engine.kill()
    part.counts["power cuts"] += 1
    for file in unfinished(world.service.root):
        size = chance.choice((0, 0, file.stat().st_size // 2))
        os.truncate(file, size)
        part.counts["files that were cut"] += 1
    ledger = world.service.state / "ledger.db"
    # The index into the log of changes lives in memory alone.
    ledger.with_name("ledger.db-shm").unlink(missing_ok=True)
    changes = ledger.with_name("ledger.db-wal")
    if changes.exists() and chance.random() < 0.3 and changes.stat().st_size < COPIED:
        # A disk that said of these commits that they were there.
        os.truncate(changes, chance.randrange(changes.stat().st_size + 1))
        world.forgetful = True
        part.counts["lost commits"] += 1
    elif changes.exists() and chance.random() < 0.7:
        with changes.open("ab") as file:
            file.write(chance.choice((bytes(4120), chance.randbytes(4120), chance.randbytes(100))))
        part.counts["torn logs of changes"] += 1


def unfinished(root: Path) -> list[Path]:
    """List the files that are hidden until they are flushed and renamed into place."""
    found = []
    for folder in (root / "state", root / "outbox", root / "inbox" / "rejected"):
        for path in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            # The mark's name is hidden, and what it says is flushed before it has that name.
            if hidden and path.name != MARK and path.is_file() and path.stat().st_nlink == 1:
                found.append(path)
    return found
