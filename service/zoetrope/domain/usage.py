"""What a stage took of its GPU: energy, clock and heat."""

from __future__ import annotations

import msgspec

STOCK = "stock"


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stage on one GPU; None where the GPU does not say."""

    card: str  # UUID
    name: str
    profiles: tuple[str, ...] = ()  # under which it ran; more than one when it changed on the way
    seconds: float = 0.0  # that were measured
    energy_wh: float | None = None
    mean_watts: float | None = None
    mean_core_mhz: float | None = None
    mean_celsius: float | None = None
    highest_celsius: int | None = None
    peak_vram: int | None = None
    slowed_by: tuple[str, ...] = ()

    @property
    def profile(self) -> str:
        """The profile under which all of it ran, or how it changed."""
        return " + ".join(self.profiles) or STOCK
