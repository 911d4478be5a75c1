"""The pause of this host, and its opposite outside the working hours: kept over restarts, ended in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..dispatch.pause import (
    OutsideHours,
    Pause,
    RunNow,
    Standstill,
    is_paused,
    next_look,
    outside_hours,
    standstill,
)
from ..domain.hours import Hours, Offset
from ..durable import put, sync
from ..structs import UNREADABLE, primed

log = logging.getLogger("zoetrope.jobs")

# A clock may be set meanwhile, and a timer does not count while the host sleeps.
LONGEST = 30.0
SHORTEST = 0.05
RUN_NOW = "run-now.json"  # next to the pause


def local(moment: float) -> float:
    """Give the offset of this host's own clocks at a unix time."""
    return float(time.localtime(moment).tm_gmtoff)


class Pauses:
    """Knows whether stages may start, and says so to whoever listens when that changes."""

    def __init__(
        self,
        file: Path,
        hours: Hours | None,
        changed: Callable[[], None],
        *,
        clock: Callable[[], float] = time.time,
        offset: Offset = local,
    ) -> None:
        self._file = file
        self._hours = hours
        self._changed = changed
        self._clock = clock
        self._offset = offset
        self._run_now_file = file.with_name(RUN_NOW)
        self._pause = read(file, clock())
        # A pause is begun after it, and ends it, also where a crash left both.
        self._run_now = None if self._pause is not None else read_run_now(self._run_now_file)
        self._known = self.standstill()
        self._look = asyncio.Event()

    def standstill(self) -> Standstill | None:
        """Say why no stage starts now, if none does."""
        return standstill(
            self._pause, self._hours, self._clock(), self._offset, run_now=self._run_now
        )

    def outside_hours(self) -> OutsideHours | None:
        """Say that stages start outside the working hours, if they do."""
        now = self._clock()
        if is_paused(self._pause, now):
            return None
        return outside_hours(self._run_now, self._hours, now, self._offset)

    async def begin(self, seconds: float | None = None) -> None:
        """Pause, for so long or until it is ended; durable when this returns."""
        now = self._clock()
        since = self._pause.since if self._pause is not None else now
        pause = Pause(since=since, until=None if seconds is None else now + seconds)
        await asyncio.to_thread(put, self._file, msgspec.json.encode(pause))
        self._set(pause, None)
        with contextlib.suppress(OSError):  # next to a pause it says nothing, and goes with it
            await asyncio.to_thread(_remove, self._run_now_file)

    async def end(self, *, now: bool = False) -> None:
        """End the pause; where there is none, nothing changes.

        With `now`, stages start outside the working hours, too, until these begin the next time.
        """
        run_now = RunNow(since=self._clock()) if now else self._run_now
        # First, so that it is there once no pause ends it.
        if self._is_of_use(run_now):
            await asyncio.to_thread(put, self._run_now_file, msgspec.json.encode(run_now))
        else:
            run_now = None
            await asyncio.to_thread(_remove, self._run_now_file)
        await asyncio.to_thread(_remove, self._file)
        self._set(None, run_now)

    def _is_of_use(self, run_now: RunNow | None) -> bool:
        return outside_hours(run_now, self._hours, self._clock(), self._offset) is not None

    async def run(self) -> None:
        """Look at the clock until cancelled, so that standstills begin and end in time."""
        while True:
            # What cannot be removed now is removed at a later look; its time is over all the same.
            with contextlib.suppress(OSError):
                if self._pause is not None and not is_paused(self._pause, self._clock()):
                    await self.end()
                if self._run_now is not None and not self._is_of_use(self._run_now):
                    await asyncio.to_thread(_remove, self._run_now_file)
                    self._run_now = None
            self._see()
            seconds = next_look(
                self._pause, self._hours, self._clock(), self._offset, longest=LONGEST
            )
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(SHORTEST, seconds)):
                    await self._look.wait()

    def _set(self, pause: Pause | None, run_now: RunNow | None) -> None:
        self._pause, self._run_now = pause, run_now
        self._look.set()
        self._see()

    def _see(self) -> None:
        found = self.standstill()
        before, self._known = self._known, found
        if found == before:
            return
        if found is None:
            outside = self.outside_hours()
            said = outside.sentence if outside is not None else "stages start again"
            log.info("%s", said, extra={"action": "resumed"})
        else:
            log.info("%s", found.reason, extra={"action": found.reason.key})
        self._changed()


def read(file: Path, now: float) -> Pause | None:
    """Read what an earlier process kept; a pause that cannot be read is one until a user ends it."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=primed(Pause))
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as error:
        said = "the pause of an earlier process cannot be read (%s); paused until it is ended"
        log.warning(said, error, extra={"action": "paused"})
        return Pause(since=now)


def read_run_now(file: Path) -> RunNow | None:
    """Read whether a user wanted stages to start outside the hours; what cannot be read was not wanted."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=primed(RunNow))
    except (OSError, *UNREADABLE):
        return None


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    sync(file.parent)
