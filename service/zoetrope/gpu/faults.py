"""What can go wrong with a GPU: NVML's codes and the driver's Xids, each as a sentence that says what to do."""

from __future__ import annotations

from ..errors import Reason, ZoetropeError


class GpuError(ZoetropeError):
    """The GPU or its driver said no."""

    key = "gpu"


class NoGpu(GpuError):
    """This host has no NVIDIA GPU, or no driver for it: a normal state."""

    key = "gpu-none"


class GpuLost(GpuError):
    """The GPU does not respond any more."""

    key = "gpu-lost"


class NotTaken(GpuError):
    """The driver said yes, and the GPU has another value."""

    key = "gpu-not-taken"


ABSENT = frozenset({9, 12, 28})  # driver not loaded, library not found, no GPU
GONE = frozenset({15, 16})  # fell off the bus, needs a reset

CODES: dict[int, tuple[str, str, str]] = {
    2: ("gpu-refused", "the driver rejected the value", "Compare it with the ranges of the GPU: zoetrope gpu profiles"),
    3: ("gpu-unsupported", "the GPU does not support it", "Remove the key from the profile of this GPU."),
    4: ("gpu-permission", "only root may do it", "Enable the helper: systemctl enable --now zoetrope-gpu.socket"),
    6: ("gpu-not-found", "no GPU has that UUID", "List the GPUs: nvidia-smi -L"),
    9: ("gpu-none", "NVIDIA's driver is not loaded", "On a host with a GPU: modprobe nvidia, then dmesg | grep -i nvrm"),
    10: ("gpu-timeout", "the driver did not respond in time", "See: dmesg | grep -i nvrm"),
    12: ("gpu-none", "NVIDIA's library is not installed", "On a host with a GPU: install its driver."),
    13: ("gpu-driver-old", "the driver is too old for it", "Core offsets need driver 555 or newer."),
    15: ("gpu-lost", "the GPU has fallen off the bus", "See dmesg | grep -i xid; usually only a restart of the host helps."),
    16: ("gpu-lost", "the GPU needs a reset", "Stop all processes that use it, then nvidia-smi --gpu-reset, or restart the host."),
    18: ("gpu-mismatch", "the versions of kernel module and driver library differ", "Restart the host; the driver was updated while the old one was loaded."),
    24: ("gpu-refused", "the GPU does not support that clock", "Compare it with the ranges of the GPU: zoetrope gpu profiles"),
    25: ("gpu-driver-old", "the driver supports another version of this call", "Update the driver."),
    28: ("gpu-none", "there is no NVIDIA GPU", ""),
}  # fmt: skip


def explain(code: int, doing: str) -> GpuError:
    """Make an error of a code of NVML; `doing` is what was tried."""
    key, what, step = CODES.get(code, ("gpu", f"NVML's error {code}", "See: dmesg | grep -i nvrm"))
    kind = NoGpu if code in ABSENT else GpuLost if code in GONE else GpuError
    return kind(f"{doing}: {what}.", step, key=key)


# What an Xid means, and whether clocks that are too bold can be behind it. A process that was killed
# leaves 43 and 45 behind, so those blame no one.
XIDS: dict[int, tuple[str, bool]] = {
    8: ("the GPU stopped processing", True),
    13: ("a program caused a graphics engine exception", True),
    31: ("illegal memory access", True),
    32: ("corrupt push buffer", True),
    38: ("driver firmware error", True),
    43: ("the channel of a program was reset", False),
    45: ("preemptive channel removal", False),
    48: ("double bit memory error", True),
    56: ("display engine error", True),
    61: ("the GPU's internal controller halted", True),
    62: ("the GPU's internal controller halted", True),
    63: ("a row of memory was remapped", False),
    64: ("a row of memory could not be remapped", False),
    69: ("graphics engine error", True),
    74: ("NVLink error", False),
    79: ("the GPU has fallen off the bus", True),
    92: ("high rate of correctable memory errors", True),
    94: ("contained memory error", True),
    95: ("uncontained memory error", True),
    109: ("a context switch on the GPU timed out", True),
    119: ("GSP timeout", True),
    120: ("GSP error", True),
    140: ("uncorrected memory error", True),
    143: ("the GPU could not be initialized", True),
}


def xid_reason(number: int) -> Reason:
    """Say what an Xid means."""
    what, _ = XIDS.get(number, ("the driver reported a fault", True))
    return Reason("gpu-xid", f"Xid {number}: {what}.", "See dmesg | grep -i xid")


def is_suspicious(number: int) -> bool:
    """Tell whether bold clocks can be behind an Xid; one that no one knows is suspicious."""
    return XIDS.get(number, ("", True))[1]
