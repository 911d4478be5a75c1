"""Looks at every GPU again and again: often while a stage runs, seldom otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..domain.usage import Usage
from ..errors import Reason
from ..host import trouble
from .card import Card, Sample
from .faults import GpuError, GpuLost, NoGpu
from .usage import UsageMeter

if TYPE_CHECKING:
    from .device import Nvml

log = logging.getLogger("zoetrope.gpu")

WORKING_SECONDS = 1.0
RESTING_SECONDS = 5.0
# A driver can be loaded, and a GPU come back, while the service runs.
ABSENT_SECONDS = 30.0


def _open() -> Nvml:
    # Late, because a host without a GPU needs none of it.
    from .device import Nvml

    return Nvml()


class Watch:
    """The GPUs of this host as they are now; empty on a host that has none."""

    def __init__(self, make: Callable[[], Nvml] = _open) -> None:
        self.cards: tuple[Card, ...] = ()
        self.latest: dict[str, Sample] = {}
        self.lost: dict[str, Reason] = {}  # GPUs that do not answer any more, and why
        self.problem: Reason | None = None  # why the driver cannot be asked although there is one
        self.profile_of: Callable[[str], str] = lambda _: ""
        self._make = make
        self._nvml: Nvml | None = None
        self._meters: set[UsageMeter] = set()
        # One thread, because one NVML is for one at a time, and a driver that hangs must hang nothing else.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nvml")
        self._wake = asyncio.Event()
        self.looked = asyncio.Event()  # set once the first look is over

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                await self.look()
                self.looked.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> None:
        """Read every GPU once."""
        loop = asyncio.get_running_loop()
        try:
            readings = await loop.run_in_executor(self._thread, self._read)
        except NoGpu:
            self.cards, self.latest, self.problem = (), {}, None
            return
        except GpuError as error:
            self._note(error.reason)
            return
        except (OSError, RuntimeError) as error:
            # The first look imports and loads the driver's library: a host without descriptors cannot.
            if (reason := trouble(error)) is None:
                raise
            self._note(reason)
            return
        self.problem = None
        self.latest = readings
        for meter in self._meters:
            if (reading := readings.get(meter.card)) is not None:
                meter.add(reading, self.profile_of(meter.card))

    def begin(self, card: Card) -> UsageMeter:
        """Measure from now on what a GPU uses."""
        meter = UsageMeter(card.uuid, card.short)
        self._meters.add(meter)
        self._wake.set()
        return meter

    async def end(self, meter: UsageMeter) -> Usage | None:
        """Stop measuring, with a last look."""
        if meter not in self._meters:
            return None
        await self.look()
        self._meters.discard(meter)
        return meter.usage()

    def card(self, uuid: str) -> Card | None:
        """Find a GPU by its UUID."""
        return next((card for card in self.cards if card.uuid == uuid), None)

    def _note(self, reason: Reason) -> None:
        if self.problem != reason:
            log.warning("%s", reason, extra={"action": "gpu"})
        self.problem = reason

    def _pause(self) -> float:
        if self._meters:
            return WORKING_SECONDS
        return RESTING_SECONDS if self.cards else ABSENT_SECONDS

    def _read(self) -> dict[str, Sample]:
        if self._nvml is None:
            self._nvml = self._make()
            self.cards = self._nvml.cards()
        found = {}
        for card in self.cards:
            try:
                found[card.uuid] = self._nvml.read(card.uuid)
                self.lost.pop(card.uuid, None)
            except GpuLost as error:
                if card.uuid not in self.lost:
                    log.error(  # noqa: TRY400 - the sentence says it all
                        "%s: %s", card.short, error, extra={"action": "gpu-lost", "card": card.uuid}
                    )
                self.lost[card.uuid] = error.reason
        return found
