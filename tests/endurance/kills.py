"""Kills at every transition: of the service, of the engine, and of both at once."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.endurance.failpoints import MIGRATE, POINTS, DyingConnection, Order, Trap
from tests.endurance.haste import hasten
from tests.endurance.part import Part
from tests.endurance.processes import FORK
from tests.endurance.world import World
from tests.fakes.ledger import fill_first_schema
from zoetrope.domain.job import ENDED
from zoetrope.jobs import keep, keeper
from zoetrope.store.sqlite import schema

MORE = """
            [keep]
            work_days = 1
            rejected_days = 1
"""
ROUND = 10  # kills between two looks at everything
LONGEST = 12.0  # seconds until a point that was not met is given up
MIGRATIONS_A_ROUND = 6
#: These are only met with something new in the inbox.
FRESH = ("claim", "row", "release", "plan")
ALONE = (*FRESH, "retention", "receipt", "clean-up")


def kills(part: Part) -> None:
    """Kill at one point after the other, those first that were struck least."""
    world = World(part, more=MORE)
    part.points.update(dict.fromkeys((*POINTS, MIGRATE), 0))
    part.counts.update({"kills": 0, "lost": 0, "doubled": 0})
    misses: Counter[str] = Counter()
    try:
        world.engine.start()
        while part.left():
            for _ in range(ROUND):
                if part.left():
                    order = _next(part, misses)
                    misses[order.point] += not kill(world, order)
                    part.tick()
            world.settle()
            _kill_migrations(part, world)
    finally:
        world.close()


def _next(part: Part, misses: Counter[str]) -> Order:
    """Choose the next place: one of those that were struck least."""
    random = part.random
    tried = {point: part.points[point] + misses[point] // 3 for point in POINTS}
    point = random.choice([each for each in POINTS if tried[each] == min(tried.values())])
    return Order(
        point=point,
        moment=random.choice(["before", "inside", "inside", "after"]),
        # Where nothing runs at the engine, there is nothing that its end could break.
        victim="service" if point in ALONE else random.choice(["service", "engine", "both"]),
        step=random.choice([0, 1, 2, 3, 5, 8, 13, 21]),
    )


def kill(world: World, order: Order, patience: float = LONGEST) -> bool:
    """Start the service so that it dies where it was ordered; false if it never came there."""
    part, service, engine = world.part, world.service, world.engine
    engine.revive()
    waiting = sum(job.state not in ENDED for job in world.jobs())
    if order.point in FRESH or waiting < 2:
        world.drop_something()
    if order.point == "retention":
        world.drop_garbage()
    mark = world.service.root / "mark"
    mark.unlink(missing_ok=True)
    assert engine.process is not None
    trap = Trap(order, mark, engine.process.pid)

    def prepare() -> None:
        hasten()
        hasten_retention()
        trap.install()

    service.start(wait=False, prepare=prepare)
    process = service.process
    assert process is not None
    deadline = time.monotonic() + patience
    while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    struck = mark.exists()
    if order.victim == "engine":
        time.sleep(part.random.uniform(0.0, 0.3))  # it notices, or not yet
    part.promise(struck or process.poll() is None, f"the service ended by itself: {order}")
    service.kill()
    part.counts["kills"] += 1
    if struck:
        part.points[order.point] += 1
    else:
        part.counts["kills at no point"] += 1
    return struck


def hasten_retention() -> None:
    """Have the keeper look at once, and a day be a moment."""
    keeper.FIRST_SECONDS = 0.2  # type: ignore[misc]
    keeper.EVERY_SECONDS = 0.5  # type: ignore[misc]
    keeper.GLANCE_SECONDS = 0.1  # type: ignore[misc]
    keep.DAY = 0.5  # type: ignore[misc]


def _kill_migrations(part: Part, world: World) -> None:
    """Put the ledger back to the first schema, kill what lifts it, and compare the jobs."""
    jobs = world.jobs()
    file = world.service.state / "ledger.db"
    for _ in range(MIGRATIONS_A_ROUND):
        for leftover in file.parent.glob("ledger.*"):
            leftover.unlink()
        bodies = ((job.id, job.state, job.stem, msgspec.json.encode(job)) for job in jobs)
        fill_first_schema(file, bodies)
        child = FORK.Process(target=_open, args=(file, part.random.randrange(40)))
        child.start()
        child.join()
        if child.exitcode != 0:
            part.counts["kills"] += 1
            part.points[MIGRATE] += 1
        connection, lock = schema.open_file(file)
        with lock, contextlib.closing(connection):
            rows = connection.execute("SELECT body FROM jobs ORDER BY seq").fetchall()
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        found = [msgspec.json.decode(body, type=type(jobs[0])) for (body,) in rows]
        part.promise(sound == "ok" and found == jobs, "a ledger lost jobs while it was lifted")


def _open(file: Path, survived: int) -> None:
    schema.connect = DyingConnection(survived)  # type: ignore[assignment]
    with contextlib.suppress(sqlite3.Error):
        schema.open_file(file)
