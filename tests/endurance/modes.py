"""An engine that lies, hangs and forgets: no job is lost, none fails for a fault of ours, the disk is bounded."""

from __future__ import annotations

import time

from tests.endurance.nasty import MODES, NastyEngine
from tests.endurance.part import Part
from tests.endurance.world import World

SECONDS = 4.0  # in one mode
MOST = 200 * 1024 * 1024  # bytes that state and outbox may take in all


def modes(part: Part) -> None:
    """Let the engine be nasty in one mode after the other, and see that all ends well each time."""
    world = World(part, nursed=True)
    world.engine.start()
    nasty = NastyEngine(world.engine.url, world.service.root / "nasty.log", part.seed)
    nasty.start()
    world.service.replace(world.engine.url, nasty.url)
    part.points.update(dict.fromkeys(MODES, 0))
    try:
        while part.left():
            order = list(MODES)
            part.random.shuffle(order)
            for mode in order:
                if part.left():
                    _endure(part, world, nasty, mode)
                    part.tick()
    finally:
        world.close()
        if nasty.process is not None:
            nasty.process.kill()
            nasty.process.wait()


def _endure(part: Part, world: World, nasty: NastyEngine, mode: str) -> None:
    world.engine.revive()
    process = world.service.process
    if process is None or process.poll() is not None:
        world.service.start(prepare=world.prepare)
    nasty.become(mode)
    until = time.monotonic() + SECONDS
    for _ in range(2):
        world.drop()
    while time.monotonic() < until:
        world.nurse()
        for job in world.jobs():
            reason = job.reason
            part.promise(
                reason is None or reason.key != "internal", f"in mode {mode}: {job.stem}: {reason}"
            )
        time.sleep(0.1)
    taken = sum(
        path.stat().st_size
        for folder in (world.service.state, world.service.outbox)
        for path in folder.rglob("*")
        if path.is_file()
    )
    part.promise(taken < MOST, f"in mode {mode} {taken >> 20} MB were written")
    nasty.become("")
    part.counts["modes"] += 1
    part.points[mode] += 1
    try:
        world.settle()
    except AssertionError as error:
        part.broke(f"after mode {mode}: {error}")
