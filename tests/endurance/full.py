"""Disks that are full at every write, of the state, the outbox and the inbox."""

from __future__ import annotations

import contextlib
import json
import time

from tests.endurance.part import Part
from tests.endurance.troubles import fill_up, make_room, small_disk
from tests.endurance.world import World
from tests.fakes.service import ServiceProcess
from zoetrope.domain.job import ENDED
from zoetrope.jobs.outbox_identity import MARK

MEGABYTES = 64
PAGE = 4096
ROUND = 6  # full disks between two looks at everything


def full(part: Part) -> None:
    """Let every write be the one that finds no room: a page more is left each time."""
    world = World(part)
    world.service.replace("min_free_megabytes = 1", "min_free_megabytes = 0")
    service = world.service
    folders = {"state": service.state, "outbox": service.outbox, "inbox": service.inbox}
    pages = dict.fromkeys(folders, 0)
    try:
        world.engine.start()
        while part.left():
            name = part.random.choice(list(folders))
            with small_disk(folders[name], MEGABYTES) as there:
                if not there:
                    part.say("no small disk can be mounted here; a full disk is left out")
                    return
                mark(service)
                for _ in range(ROUND):
                    _fill(part, world, name, pages[name] * PAGE)
                    pages[name] = (pages[name] + 1) % 96
                    part.tick()
                world.settle()
            # What lay on the small disk is gone; the next one begins anew.
            mark(service)
            if name == "inbox":
                # As the message of health says to whoever takes the inbox back to the host's own disk on purpose.
                (service.state / "inbox.json").unlink(missing_ok=True)
            part.points[name] += ROUND
    finally:
        world.close()


def mark(service: ServiceProcess) -> None:
    """Have an outbox on another disk be the one that the service knows, as a person does who replaces a disk."""
    with contextlib.suppress(
        FileNotFoundError
    ):  # it marks the first one itself, also on a full disk
        known = json.loads((service.state / "outbox.json").read_text())
        (service.outbox / MARK).write_text(f"{known['mark']}\n")


def _fill(part: Part, world: World, name: str, leave: int) -> None:
    folder = {"state": world.service.state, "outbox": world.service.outbox}.get(
        name, world.service.inbox
    )
    process = world.service.process
    if process is None or process.poll() is not None:
        world.service.start(prepare=world.prepare)
    before = part.random.random() < 0.5
    if before:  # else nothing fits into an inbox that is full
        world.drop()
        time.sleep(part.random.uniform(0.0, 0.6))
    fill_up(folder, leave)
    if not before and name != "inbox":
        world.drop()
    time.sleep(part.random.uniform(0.2, 1.0))
    if part.random.random() < 0.3:
        world.service.kill()
    make_room(folder)
    part.counts["full disks"] += 1
    deadline = time.monotonic() + 20
    while any(job.state not in ENDED for job in world.jobs()) and time.monotonic() < deadline:
        if world.service.process is not None and world.service.process.poll() is not None:
            world.service.start(prepare=world.prepare)
        time.sleep(0.1)
