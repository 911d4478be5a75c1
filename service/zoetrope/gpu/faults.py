"""What can go wrong with a card: NVML's codes and the driver's Xids, each as a sentence that says what to do."""

from __future__ import annotations

from ..errors import Reason, ZoetropeError


class GpuError(ZoetropeError):
    """The card or its driver said no."""

    key = "gpu"


class NoGpu(GpuError):
    """This host has no NVIDIA card, or no driver for it: a normal state."""

    key = "gpu-none"


class GpuLost(GpuError):
    """The card does not answer any more."""

    key = "gpu-lost"


class NotTaken(GpuError):
    """The driver said yes, and the card has another value."""

    key = "gpu-not-taken"


ABSENT = frozenset({9, 12, 28})  # driver not loaded, library not found, no GPU
GONE = frozenset({15, 16})  # fell off the bus, needs a reset

CODES: dict[int, tuple[str, str, str]] = {
    2: ("gpu-refused", "the driver refused the value", "Compare it with the card's own ranges: zoetrope gpu profiles"),
    3: ("gpu-unsupported", "the card does not support it", "Leave the key out of this card's profile."),
    4: ("gpu-permission", "only root may do it", "Let the helper do it: systemctl enable --now zoetrope-gpu.socket"),
    6: ("gpu-not-found", "no card has that UUID", "See what is there: nvidia-smi -L"),
    9: ("gpu-none", "NVIDIA's driver is not loaded", "On a host with a card: modprobe nvidia, then dmesg | grep -i nvrm"),
    10: ("gpu-timeout", "the driver did not answer in time", "See what it says: dmesg | grep -i nvrm"),
    12: ("gpu-none", "NVIDIA's library is not installed", "On a host with a card: install its driver."),
    13: ("gpu-driver-old", "the driver is too old for it", "Core offsets need driver 555 or newer."),
    15: ("gpu-lost", "the card fell off the bus", "See dmesg | grep -i xid; as a rule only a restart of the host brings it back."),
    16: ("gpu-lost", "the card needs a reset", "Stop what uses it, then nvidia-smi --gpu-reset, or restart the host."),
    18: ("gpu-mismatch", "the driver in the kernel is another version than its library", "Restart the host; a driver was updated while the old one was loaded."),
    24: ("gpu-refused", "the card does not have that clock", "Compare it with the card's own ranges: zoetrope gpu profiles"),
    25: ("gpu-driver-old", "the driver speaks another version of it", "Update the driver."),
    28: ("gpu-none", "there is no NVIDIA card", ""),
}  # fmt: skip


def explain(code: int, doing: str) -> GpuError:
    """Make an error of a code of NVML; `doing` is what was tried."""
    key, what, step = CODES.get(
        code, ("gpu", f"NVML's error {code}", "See what the driver says: dmesg | grep -i nvrm")
    )
    kind = NoGpu if code in ABSENT else GpuLost if code in GONE else GpuError
    return kind(f"{doing}: {what}.", step, key=key)


# What an Xid means, and whether clocks that are too bold can be behind it. A process that was killed
# leaves 43 and 45 behind, so those blame nobody.
XIDS: dict[int, tuple[str, bool]] = {
    8: ("the card stopped working on a command", True),
    13: ("a program made the graphics engine fail", True),
    31: ("a memory access went wrong", True),
    32: ("a command buffer was corrupt", True),
    38: ("the driver's firmware failed", True),
    43: ("a program's work was ended", False),
    45: ("work was cleared away after a program ended", False),
    48: ("memory has an error that cannot be corrected", True),
    56: ("the display engine failed", True),
    61: ("the card's own controller halted", True),
    62: ("the card's own controller halted", True),
    63: ("a row of memory was replaced", False),
    64: ("a row of memory could not be replaced", False),
    69: ("the graphics engine failed", True),
    74: ("NVLink failed", False),
    79: ("the card fell off the bus", True),
    92: ("memory had many errors that could be corrected", True),
    94: ("memory had an error that was contained", True),
    95: ("memory had an error that was not contained", True),
    109: ("a change of work on the card timed out", True),
    119: ("the card's system processor did not answer", True),
    120: ("the card's system processor failed", True),
    140: ("memory had an error that was not corrected", True),
    143: ("the card could not be started", True),
}


def xid_reason(number: int) -> Reason:
    """Say what an Xid means."""
    what, _ = XIDS.get(number, ("the driver reported a fault", True))
    return Reason("gpu-xid", f"Xid {number}: {what}.", "See dmesg | grep -i xid")


def is_suspicious(number: int) -> bool:
    """Tell whether bold clocks can be behind an Xid; one that nobody knows is suspicious."""
    return XIDS.get(number, ("", True))[1]
