"""What can be set on a GPU, each with the look afterwards that shows whether the GPU took it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import pynvml  # type: ignore[import-untyped]

from .card import STEP_MHZ, STEP_WATTS, Card
from .device import Nvml, doing, offset_query, raw
from .faults import GpuError, NotTaken

SETTLE_SECONDS = 1.0  # within which a running GPU has slowed down to a new limit
LOOK_SECONDS = 0.05


class Knobs:
    """The setters; root's alone. Each raises what the driver says, or NotTaken when the look afterwards differs."""

    def __init__(self, nvml: Nvml, pause: Callable[[float], None] = time.sleep) -> None:
        self._nvml = nvml
        self._pause = pause

    def limit_power(self, card: Card, watts: int) -> None:
        """Set the power limit."""
        # The first version of the call, because the bindings drop the second one's answer.
        with doing(f"The power limit of {watts} W cannot be set"):
            pynvml.nvmlDeviceSetPowerManagementLimit(self._nvml.handle(card.uuid), watts * 1000)
        found = self._nvml.read(card.uuid).limit_watts
        if found is None or abs(found - watts) > STEP_WATTS:
            raise _not_taken(f"a power limit of {watts} W", found, "W")

    def lock_core(self, card: Card, low: int, high: int) -> None:
        """Set the range of the core clock."""
        with doing(f"The core clock cannot be limited to {high} MHz"):
            pynvml.nvmlDeviceSetGpuLockedClocks(self._nvml.handle(card.uuid), low, high)
        # NVML has no question for a lock; what can be seen is whether the clock keeps to it.
        for _ in range(int(SETTLE_SECONDS / LOOK_SECONDS)):
            clock = self._nvml.read(card.uuid).core_mhz
            if clock is None or clock <= high + STEP_MHZ:
                return
            self._pause(LOOK_SECONDS)
        raise _not_taken(f"a core clock limit of {high} MHz", clock, "MHz")

    def free_core(self, card: Card) -> None:
        """Take the range of the core clock away."""
        with doing("The core clock limit cannot be removed"):
            pynvml.nvmlDeviceResetGpuLockedClocks(self._nvml.handle(card.uuid))

    def shift_core(self, card: Card, mhz: int) -> None:
        """Set the core offset."""
        info = offset_query()
        info.clockOffsetMHz = mhz
        handle = self._nvml.handle(card.uuid)
        what = f"The core offset of {mhz:+d} MHz cannot be set"
        raw("nvmlDeviceSetClockOffsets", what, handle, ctypes.byref(info))
        found = self._nvml.offset(card.uuid)
        # The driver snaps to its own steps, and shows the snapped value (LACT #1202).
        if found is None or abs(found[0] - mhz) > STEP_MHZ:
            raise _not_taken(f"a core offset of {mhz:+d} MHz", None if found is None else found[0], "MHz")  # fmt: skip


def _not_taken(what: str, found: float | None, unit: str) -> GpuError:
    has = "the driver reports no value" if found is None else f"the GPU reports {found:g} {unit}"
    return NotTaken(
        f"The driver accepted {what}, and {has}.",
        "Some drivers and GPUs ignore such settings; update the driver, or remove the key.",
    )
