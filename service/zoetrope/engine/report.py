"""What was found before an engine started: driver, GPU, attention kernels, and the flags it got.

`pre-start.sh` writes it (service/runtime/publish.py), in another Python and as another user; this is the
part of it that the service reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from ..beneath import Beneath, Linked
from ..errors import Reason, ZoetropeError
from ..structs import UNREADABLE, primed

SCHEMA = 1
MOST_BYTES = 1 << 20

# Seconds by which the time of a note may lie ahead: clocks are set back by little.
AHEAD = 60.0
# Flags with which ComfyUI has no dynamic VRAM; --lowvram does nothing where it has.
STATIC = frozenset({"--disable-dynamic-vram", "--highvram", "--gpu-only", "--novram", "--cpu"})


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """The self-test's verdict on one attention kernel."""

    name: str
    verdict: str  # ok, refused or absent
    reason: str = ""
    version: str | None = None  # of its package


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """A node pack that the engine was started with."""

    name: str
    state: str  # linked, yours (a user's own stands there), no-gpu (it does not load on the CPU) or missing
    version: str = ""  # that it says of itself
    source: str = ""  # what names its content: a path of the Nix store, or a git commit


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How an earlier process of the engine was ended by the host, and when."""

    how: str  # oom-kill, as systemd calls it
    at: float  # unix time


class FlagChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a launch flag that the service asked for."""

    by: str  # fallback or budget
    words: tuple[str, ...]
    state: str  # used, overruled or rejected
    why: str = ""


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """One engine's report."""

    schema: int
    gpu_name: str = ""
    capability: str = ""  # of its architecture, such as "12.0"
    driver: str = ""
    runtime: str = ""  # the versions of Python and of the packages that compute
    mode: str = ""  # gpu or cpu
    memory: str = ""  # the memory profile, in GB of the GPU's
    comfyui: str = ""  # its version
    wished: str = ""
    chosen: str = ""
    fell_back: str = ""  # why another kernel is in use than was wished
    kernels: tuple[Kernel, ...] = ()
    profile: str = ""  # of clocks, that was in force
    mismatch: tuple[Kernel, ...] = ()  # right at stock clocks, and wrong at that profile
    flags: tuple[str, ...] = ()
    choices: tuple[FlagChoice, ...] = ()
    ended: tuple[Ended, ...] = ()  # the last time, where the host ended one
    packs: tuple[Pack, ...] = ()
    warnings: tuple[Reason, ...] = ()
    problem: Reason | None = None  # why the engine was not started

    @property
    def dynamic_vram(self) -> str:
        """Whether ComfyUI loads weights as the GPU's memory allows: "on" or "off", as ComfyUI decides it; empty where that cannot be said."""
        if "--enable-dynamic-vram" in self.flags:
            return "on"
        if self.mode == "cpu" or not STATIC.isdisjoint(self.flags):
            return "off"
        found = re.search(r"\btorch (\d{1,4})\.(\d{1,4})", self.runtime)
        if self.mode != "gpu" or found is None:
            return ""
        return "on" if (int(found[1]), int(found[2])) >= (2, 8) else "off"

    @property
    def right(self) -> frozenset[str]:
        """The kernels that the self-test found right."""
        return frozenset(kernel.name for kernel in self.kernels if kernel.verdict == "ok")

    @property
    def without_gpu(self) -> frozenset[str]:
        """The node packs that do not load because this engine runs on the CPU."""
        return frozenset(pack.name for pack in self.packs if pack.state == "no-gpu")


def killed_since(file: Path | None, began: float, now: float) -> bool:
    """Return whether the kernel has killed the engine for lack of memory since then, as its next start says."""
    found = known(file)
    # Its clock gives whole seconds. One in the future, whoever wrote it, would be the end of every later process.
    return found is not None and any(
        each.how == "oom-kill" and int(began) <= each.at <= now + AHEAD for each in found.ended
    )


class ReportUnknown(ZoetropeError):
    """The report is missing or is none."""

    key = "runtime-unknown"


class _Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What zoetrope-engines wrote instead of a restart."""

    sentence: str
    next_step: str


T = TypeVar("T", bound=msgspec.Struct)


def read(file: Path) -> EngineReport:
    """Read an engine's report; its user runs what others wrote, and may put anything in its place."""
    try:
        found = _decoded(file, EngineReport, "a report of pre-start.sh")
    except FileNotFoundError as error:
        raise ReportUnknown(f"{file} cannot be read ({error.strerror}).") from error
    if found.schema != SCHEMA:
        raise ReportUnknown(
            f"{file} has the schema {found.schema}, but this version of zoetrope reads {SCHEMA}.",
            "Use the same version of zoetrope and pre-start.sh, then restart ComfyUI.",
        )
    return found


def pending(file: Path | None) -> Reason | None:
    """Say what an engine's restart waits for, such as a reboot; nothing where it waits for none."""
    if file is None:
        return None
    try:
        found = _decoded(file, _Pending, "a note of zoetrope-engines")
    except FileNotFoundError:
        return None
    except ReportUnknown as error:
        return error.reason
    return Reason("restart-waits", found.sentence, found.next_step)


def _decoded(file: Path, what: type[T], name: str) -> T:
    try:
        with Beneath(file.parent) as folder:
            content = folder.read(file.name, MOST_BYTES)
        return msgspec.json.decode(content, type=primed(what))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ReportUnknown(f"{file} cannot be read ({error.strerror}).") from error
    except Linked as error:
        raise ReportUnknown(error.reason.sentence, error.reason.next_step) from error
    except UNREADABLE as error:
        raise ReportUnknown(f"{file} is not {name}: {error}.") from error


def known(file: Path | None) -> EngineReport | None:
    """Read an engine's report, where there is one that can be read; the kernel check says why not."""
    if file is None:
        return None
    try:
        return read(file)
    except ReportUnknown:
        return None
