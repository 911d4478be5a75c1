"""Faults to order: what a host does to its jobs on bad days, on demand and exactly once."""

import errno
import os
import threading
from typing import Literal

import msgspec

from .errors import CudaFault, HostOutOfMemory, MissingModel, OutOfMemory

FaultKind = Literal[
    "oom",  # the GPU's memory is exhausted at a node
    "missing",  # a node's own model file is not there, which only shows when it runs
    "host_oom",  # the host's memory is exhausted at a node
    "disk_full",  # the disk takes nothing more at a node that saves
    "cuda",  # the CUDA context is lost at a node, and stays lost until a restart
    "exit",  # the process ends in the middle of a step
    "wedged",  # a sampler makes no further step, while HTTP answers
    "no_worker",  # the worker ends with the next prompt: it counts as running, nothing moves, HTTP answers
    "slow",  # every step takes `seconds`, until it is withdrawn or its prompt interrupted
    "silent",  # the websocket says nothing until withdrawn, while HTTP answers
    "drop",  # every websocket is cut off at a step
    "refuse",  # POST /prompt answers 500
    "emptied",  # the input folder is emptied before a prompt is checked
    "black",  # decoded frames are black, as after NaN in the latents
    "frozen",  # decoded frames all equal the first
    "short",  # the last frames are missing
    "noise",  # the decoded frames are full of noise
    "vanish",  # a saved file is gone before anybody fetches it
    "view",  # GET /view answers 500, though the file is there
]

_ON_CARD = ("VAE", "CLIPTextEncode", "ToVideo", "SeedVR2Video", "VFI", "FrameInterpolate")

#: Nodes whose packs fetch their own files, and what they say when they cannot.
_DOWNLOADS = {
    "RIFE VFI": "Tried all urls to download rife49.pth but no success",
    "SeedVR2LoadDiTModel": "Failed to download required model files.",
    "SeedVR2VideoUpscaler": "Failed to download required model files.",
}


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ordered fault."""

    kind: FaultKind
    #: The node class it waits for; empty means the kind's natural place.
    node: str = ""
    #: It strikes at this many-th opportunity, counted from now.
    call: int = 1
    #: Then so many times more often, 0 meaning until it is withdrawn.
    times: int = 1
    #: For `slow`: the length of a step.
    seconds: float = 0.0
    #: For `exit`, `wedged` and `drop`: the step of the node at which it strikes; a `drop`
    #: ordered over HTTP with step 0 strikes at once.
    step: int = 1


class _Armed:
    """A fault with its counters."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.struck = 0

    def strikes(self) -> bool:
        """Count one opportunity and say whether the fault strikes now."""
        self.seen += 1
        if self.seen < self.fault.call:
            return False
        if self.fault.times and self.struck >= self.fault.times:
            return False
        self.struck += 1
        return True


class Faults:
    """The ordered faults of one engine; asked by the worker thread, armed by anybody."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._lock = threading.Lock()
        self._armed = [_Armed(fault) for fault in faults]
        self.context_lost = False

    def order(self, fault: Fault) -> None:
        """Arm one more fault."""
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Withdraw every fault; a lost CUDA context stays lost."""
        with self._lock:
            self._armed.clear()

    def pending(self) -> list[Fault]:
        """Return the faults that can still strike."""
        with self._lock:
            return [a.fault for a in self._armed if not a.fault.times or a.struck < a.fault.times]

    def strikes(self, kind: FaultKind, node: str = "") -> Fault | None:
        """Count an opportunity for a kind of fault; return the fault if it strikes now."""
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if fault.kind == kind and fault.node in {"", node} and armed.strikes():
                    return fault
        return None

    def active(self, kind: FaultKind) -> Fault | None:
        """Return a standing fault of a kind, without counting an opportunity."""
        with self._lock:
            return next((a.fault for a in self._armed if a.fault.kind == kind), None)

    def before_node(self, class_type: str) -> None:
        """Raise what was ordered for a node that is about to run."""
        if self.context_lost and uses_card(class_type):
            raise CudaFault
        if class_type in _DOWNLOADS and self.strikes("missing", class_type):
            raise MissingModel(_DOWNLOADS[class_type])
        if self._at_node("oom", class_type):
            raise OutOfMemory
        if self._at_node("host_oom", class_type):
            raise HostOutOfMemory
        if saves(class_type) and self.strikes("disk_full", class_type):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._at_node("cuda", class_type):
            self.context_lost = True
            raise CudaFault

    def at_step(self, kind: FaultKind, class_type: str, step: int) -> bool:
        """Say whether a fault of a kind strikes at this step of a node."""
        with self._lock:
            return any(
                armed.strikes()
                for armed in self._armed
                if armed.fault.kind == kind
                and armed.fault.node in {"", class_type}
                and armed.fault.step == step
            )

    def _at_node(self, kind: FaultKind, class_type: str) -> bool:
        """Strike at the named node, or, if none is named, at a sampler."""
        with self._lock:
            return any(
                armed.strikes()
                for armed in self._armed
                if armed.fault.kind == kind
                and (
                    armed.fault.node == class_type or (not armed.fault.node and samples(class_type))
                )
            )


def saves(class_type: str) -> bool:
    """Say whether a node class writes a file."""
    return class_type.startswith("Save")


def samples(class_type: str) -> bool:
    """Say whether a node class is a sampler, where most of the work is done."""
    return "sampler" in class_type.lower()


def uses_card(class_type: str) -> bool:
    """Say whether a node class computes on the GPU, so that a lost CUDA context fails it."""
    return samples(class_type) or (
        any(part in class_type for part in _ON_CARD) and "Load" not in class_type
    )
