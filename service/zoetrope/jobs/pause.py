"""The pause of this host: kept over restarts, ended when its time is over, and the working hours next to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..dispatch.pause import Pause, Standstill, next_look, standstill
from ..domain.hours import Hours, Offset
from ..durable import put, sync
from ..structs import UNREADABLE, primed

log = logging.getLogger("zoetrope.jobs")

# A clock may be set meanwhile, and a timer does not count while the host sleeps.
LONGEST = 30.0
SHORTEST = 0.05


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
        self._pause = read(file, clock())
        self._known = self.standstill()
        self._look = asyncio.Event()

    def standstill(self) -> Standstill | None:
        """Say why no stage starts now, if none does."""
        return standstill(self._pause, self._hours, self._clock(), self._offset)

    async def begin(self, seconds: float | None = None) -> None:
        """Pause, for so long or until it is ended; durable when this returns."""
        now = self._clock()
        since = self._pause.since if self._pause is not None else now
        pause = Pause(since=since, until=None if seconds is None else now + seconds)
        await asyncio.to_thread(put, self._file, msgspec.json.encode(pause))
        self._set(pause)

    async def end(self) -> None:
        """End the pause; where there is none, nothing changes."""
        await asyncio.to_thread(_remove, self._file)
        self._set(None)

    async def run(self) -> None:
        """Look at the clock until cancelled, so that standstills begin and end in time."""
        while True:
            pause = self._pause
            if pause is not None and pause.until is not None and self._clock() >= pause.until:
                # What cannot be removed now is removed at a later look; its time is over all the same.
                with contextlib.suppress(OSError):
                    await self.end()
            self._see()
            seconds = next_look(
                self._pause, self._hours, self._clock(), self._offset, longest=LONGEST
            )
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(SHORTEST, seconds)):
                    await self._look.wait()

    def _set(self, pause: Pause | None) -> None:
        self._pause = pause
        self._look.set()
        self._see()

    def _see(self) -> None:
        found = self.standstill()
        before, self._known = self._known, found
        if found == before:
            return
        if found is None:
            log.info("stages start again", extra={"action": "resumed"})
        else:
            log.info("%s", found.reason, extra={"action": found.reason.key})
        self._changed()


def read(file: Path, now: float) -> Pause | None:
    """Read what an earlier process kept; a pause that cannot be read is one until somebody ends it."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=primed(Pause))
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as error:
        said = "the pause of an earlier process cannot be read (%s); paused until it is ended"
        log.warning(said, error, extra={"action": "paused"})
        return Pause(since=now)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    sync(file.parent)
