"""A GPU as a value: what it is, what it may be set to, and how it is at one moment."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

# Why a GPU runs slower than it could, bit by bit as NVML reports it.
REASONS = {
    0x01: "idle",
    0x02: "clocks set by a user",
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
HOT = frozenset({"heat (software)", "heat (hardware)", "hardware slowdown"})
# The clocks of these GPUs move in such steps; a set value is snapped down to one.
STEP_MHZ = 15
STEP_WATTS = 1

ARCHITECTURES = {
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}


class Span(msgspec.Struct, frozen=True):
    """A range with both ends in it."""

    low: int
    high: int

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


class PState(msgspec.Struct, frozen=True):
    """The clocks of one performance state, in MHz; 0 is the fastest."""

    number: int
    core: Span
    memory: Span


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a GPU is and what its driver lets be set; None where the driver does not say."""

    uuid: str
    index: int  # as nvidia-smi counts; never used to name a GPU, because it changes
    name: str
    bus: str
    driver: str
    architecture: str = ""
    pstates: tuple[PState, ...] = ()
    power: Span | None = None  # watts that a limit may have
    power_default: int | None = None
    offset: Span | None = None  # MHz that the core's curve may be moved
    persistence: bool | None = None

    @property
    def core(self) -> Span | None:
        """The core clocks of the fastest state."""
        return next((state.core for state in self.pstates if state.number == 0), None)

    @property
    def short(self) -> str:
        """The name without what every GPU bears."""
        return self.name.removeprefix("NVIDIA ").removeprefix("GeForce ")

    def is_called(self, pattern: str) -> bool:
        """Tell whether a UUID, a name or a pattern such as `*5090*` means this card."""
        wanted = pattern.casefold()
        names = (self.uuid, self.name, self.short)
        return any(fnmatchcase(name.casefold(), wanted) for name in names)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU at one moment; None where the GPU or its driver does not say."""

    uuid: str
    taken: float  # monotonic seconds
    core_mhz: int | None = None
    memory_mhz: int | None = None
    pstate: int | None = None
    power_watts: float | None = None
    limit_watts: float | None = None
    offset_mhz: int | None = None
    celsius: int | None = None
    reasons: tuple[str, ...] | None = None
    vram_used: int | None = None
    vram_total: int | None = None
    utilisation: int | None = None  # percent
    energy_mj: int | None = None  # since the driver was loaded

    @property
    def hot(self) -> bool:
        """Whether heat slows it down."""
        return bool(HOT & set(self.reasons or ()))


class User(msgspec.Struct, frozen=True):
    """A process that holds memory of a GPU; the name is empty where it may not be seen."""

    pid: int
    name: str
    vram: int | None = None


class Xid(msgspec.Struct, frozen=True):
    """A fault that the driver reported."""

    uuid: str
    number: int


def decode_reasons(bits: int) -> tuple[str, ...]:
    """Name the reasons in a mask; a bit that no one has named yet is shown as what it is."""
    named = tuple(name for bit, name in REASONS.items() if bits & bit)
    rest = bits & ~sum(REASONS)
    return (*named, f"unknown ({rest:#x})") if rest else named
