"""Chaos: persons, engines, shares and clocks act at random, the service is killed at random, and all has to end well."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from tests.endurance.haste import hasten
from tests.endurance.part import Part
from tests.endurance.processes import Forked
from tests.endurance.troubles import Host, give_descriptors, leave_descriptors
from tests.endurance.world import World
from tests.fakes.service import wait_for
from zoetrope.domain.job import ENDED, State

ROUND = 40  # acts between two looks at everything
FAULTS: tuple[dict[str, object], ...] = (
    {"kind": "oom"},
    {"kind": "exit"},
    {"kind": "vanish"},
    {"kind": "drop", "step": 0},
    {"kind": "slow", "seconds": 0.2},
    {"kind": "silent"},
    {"kind": "refuse"},
    {"kind": "view"},
    {"kind": "host_oom"},
    {"kind": "disk_full"},
)
YEAR = 365 * 86_400.0
JUMPS = (-YEAR, -3600.0, -60.0, 0.0, 60.0, 7200.0, YEAR, 50 * YEAR)


def chaos(part: Part) -> None:
    """Act at random, and see that everything ends well."""
    actors = Actors(part)
    try:
        actors.begin()
        while part.left():
            for _ in range(ROUND):
                if part.left():
                    actors.act()
                    part.tick()
            actors.calm()
            actors.world.settle()
    finally:
        actors.world.close()


class Actors:
    """Everybody who does something in a world."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.world = World(part, nursed=True)
        self.host = Host()
        self.world.prepare = self._prepare
        self._acts: dict[str, tuple[int, Callable[[], None]]] = {
            "drops": (10, self._drop),
            "garbage": (2, self._garbage),
            "tickets that are wrong": (2, self._wrong_ticket),
            "approvals": (6, lambda: self._decide("approve")),
            "declines": (1, lambda: self._decide("decline")),
            "cancels": (1, lambda: self._decide("cancel")),
            "retries": (3, lambda: self._decide("retry")),
            "moved back": (3, self._move_back),
            "kills": (6, self._kill),
            "engine kills": (3, self._kill_engine),
            "stops": (1, self._stop),
            "engine faults": (4, self._fault),
            "shares that vanish": (3, self._share),
            "clock jumps": (4, self._jump),
            "no descriptors": (3, self._descriptors),
            "no threads": (2, self._threads),
        }

    def begin(self) -> None:
        """Start engine and service."""
        self.world.engine.start()
        self._start()

    def act(self) -> None:
        """Do one thing, and let some time pass."""
        names = list(self._acts)
        (name,) = self.part.random.choices(names, [self._acts[each][0] for each in names])
        self._acts[name][1]()
        self.part.counts[name] += 1
        time.sleep(self.part.random.choice((0.0, 0.05, 0.2, 0.5)))
        self.world.engine.revive()
        process = self.world.service.process
        if process is None or process.poll() is not None:
            self._start()

    def calm(self) -> None:
        """Take everything back that is wrong with host and engine."""
        self.host.jump(0.0)
        self.host.starve(threads=False)
        self.world.engine.revive()
        with contextlib.suppress(urllib.error.URLError, OSError):
            request = urllib.request.Request(
                f"{self.world.engine.url}/simulated/faults", method="DELETE"
            )
            urllib.request.urlopen(request, timeout=5).close()

    def _prepare(self) -> None:
        hasten()
        self.host.prepare()

    def _start(self) -> None:
        self.world.service.start(wait=False, prepare=self._prepare)

    @property
    def _process(self) -> Forked:
        process = self.world.service.process
        assert isinstance(process, Forked)
        return process

    def _drop(self) -> None:
        if sum(job.state not in ENDED for job in self.world.jobs()) < 8:
            self.world.drop_something()

    def _garbage(self) -> None:
        self.world.drop_garbage()

    def _wrong_ticket(self) -> None:
        """Drop a picture with a ticket that is rejected; somebody moves it back later."""
        stem = f"cat{self.world.number + 1}"
        (self.world.service.inbox / f"{stem}.toml").write_text("nonsense = 1")
        assert self.world.drop() == stem
        self.world.mended.add(stem)

    def _decide(self, verb: str) -> None:
        jobs = [job for job in self.world.jobs() if job.stem in self.world.wanted]
        if not jobs:
            return
        job = self.part.random.choice(jobs)
        if verb in ("cancel", "decline"):
            self.world.cancelled.add(job.stem)
        self.world.order(job, verb)

    def _move_back(self) -> None:
        self.world.move_back(
            self.world.mended if self.part.random.random() < 0.7 else self.world.refused
        )

    def _kill(self) -> None:
        self.world.service.kill()

    def _kill_engine(self) -> None:
        self.world.engine.kill()

    def _stop(self) -> None:
        if self._process.poll() is not None:
            return  # a round that was settled has ended it
        # Before it can take a signal, it just ends by it.
        wait_for(f"{self.world.service.url}/healthz", self._process)  # type: ignore[arg-type]
        self.part.promise(self.world.service.stop() == 0, "the service did not end well")

    def _fault(self) -> None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            request = urllib.request.Request(
                f"{self.world.engine.url}/simulated/faults",
                data=json.dumps(self.part.random.choice(FAULTS)).encode(),
                headers={"Content-Type": "application/json"},
            )
            urllib.request.urlopen(request, timeout=5).close()

    def _share(self) -> None:
        """Have a share go away for a moment; nobody may make anything where it was."""
        service = self.world.service
        shares = [service.inbox]
        # Of a host that has no video yet, the outbox is made.
        if any(job.state is State.DONE for job in self.world.jobs()):
            shares.append(service.outbox)
        share = self.part.random.choice(shares)
        aside = share.with_name(f"{share.name}-away")
        share.rename(aside)
        # The folder below an outbox's mount is there, and empty.
        mount_point = share == service.outbox and self.part.random.random() < 0.5
        if mount_point:
            share.mkdir()
        time.sleep(self.part.random.uniform(0.1, 1.0))
        if mount_point:
            found = [each.name for each in share.iterdir()]
            self.part.promise(not found, f"below the mount of the outbox was written: {found}")
            share.rmdir()
        else:
            made = share.exists()
            self.part.promise(not made, f"{share.name} was made while its share was away")
        aside.rename(share)

    def _jump(self) -> None:
        self.host.jump(self.part.random.choice(JUMPS))

    def _descriptors(self) -> None:
        process = self._process
        leave_descriptors(process, self.part.random.randrange(8))
        self.world.drop()
        time.sleep(self.part.random.uniform(0.1, 1.0))
        give_descriptors(process)

    def _threads(self) -> None:
        self.host.starve(threads=True)
        self.world.drop()
        time.sleep(self.part.random.uniform(0.1, 1.0))
        self.host.starve(threads=False)
