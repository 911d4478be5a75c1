"""NVIDIA's GPUs through NVML, typed: every return code checked, every gap a None, every error a sentence."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped]

from .card import ARCHITECTURES, Card, PState, Sample, Span, User, Xid, decode_reasons
from .faults import GpuError, GpuLost, NoGpu, explain

T = TypeVar("T")

XID_EVENT = 8
UNNAMED_PROCESS = ""
# What a GPU or an older driver may lack without being ill.
GAPS = frozenset({2, 3, 4, 13, 25})


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn NVML's errors into ours; `what` begins the sentence."""
    try:
        yield
    except pynvml.NVMLError as error:
        raise explain(error.value, what) from error


def raw(function: str, doing: str, *arguments: Any) -> None:
    """Call a function of the library and check what it returns.

    The bindings' own SetClockOffsets, GetClockOffsets and SetPowerManagementLimit_v2 drop the driver's answer
    and report success whatever it was (nvidia-ml-py 13.615.71).
    """
    try:
        code = pynvml._nvmlGetFunctionPointer(function)(*arguments)  # noqa: SLF001 - there is no other door
    except pynvml.NVMLError as error:
        code = error.value
    if code != pynvml.NVML_SUCCESS:
        raise explain(code, doing)


class Nvml:
    """An open NVML; not for several threads at once, but for one at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Open it; a host without GPU or driver raises NoGpu."""
        self._clock = clock
        self._handles: dict[str, Any] = {}
        with doing("NVML, NVIDIA's management library, cannot be opened"):
            pynvml.nvmlInit()

    def close(self) -> None:
        """Let go of it; without persistence mode, the last to do so resets the cards."""
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def cards(self) -> tuple[Card, ...]:
        """Say which GPUs there are; one that is lost is left out."""
        with doing("The GPUs cannot be listed"):
            driver = pynvml.nvmlSystemGetDriverVersion()
            count = pynvml.nvmlDeviceGetCount()
        found = []
        for index in range(count):
            with contextlib.suppress(GpuLost):
                found.append(self._card(index, driver))
        return tuple(found)

    def read(self, uuid: str) -> Sample:
        """Say how a GPU is now; a GPU that is lost raises GpuLost."""
        card = self.handle(uuid)
        with doing("The GPU does not respond"):
            # One question without which there is no reading at all: whether it is still there.
            memory = pynvml.nvmlDeviceGetMemoryInfo(card)
        power = self._ask(pynvml.nvmlDeviceGetPowerUsage, card)
        limit = self._ask(pynvml.nvmlDeviceGetPowerManagementLimit, card)
        reasons = self._ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, card)
        rates = self._ask(pynvml.nvmlDeviceGetUtilizationRates, card)
        offset = self.offset(uuid)
        return Sample(
            uuid=uuid,
            taken=self._clock(),
            core_mhz=self._ask(pynvml.nvmlDeviceGetClockInfo, card, pynvml.NVML_CLOCK_GRAPHICS),
            memory_mhz=self._ask(pynvml.nvmlDeviceGetClockInfo, card, pynvml.NVML_CLOCK_MEM),
            pstate=self._ask(pynvml.nvmlDeviceGetPerformanceState, card),
            power_watts=None if power is None else power / 1000,
            limit_watts=None if limit is None else limit / 1000,
            offset_mhz=None if offset is None else offset[0],
            celsius=self._ask(pynvml.nvmlDeviceGetTemperature, card, pynvml.NVML_TEMPERATURE_GPU),
            reasons=None if reasons is None else decode_reasons(reasons),
            vram_used=memory.used,
            vram_total=memory.total,
            utilisation=None if rates is None else rates.gpu,
            energy_mj=self._ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, card),
        )

    def users(self, uuid: str, proc: Path = Path("/proc")) -> tuple[User, ...]:
        """Say which processes hold memory of a card."""
        card = self.handle(uuid)
        found = {}
        for ask in (
            pynvml.nvmlDeviceGetComputeRunningProcesses,
            pynvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for each in self._ask(ask, card) or ():
                found[each.pid] = User(each.pid, process_name(each.pid, proc), each.usedGpuMemory)
        return tuple(found.values())

    def offset(self, uuid: str) -> tuple[int, Span] | None:
        """Give the core offset and the range it may have; None where it cannot be set."""
        info = offset_query()
        try:
            raw(
                "nvmlDeviceGetClockOffsets",
                "The core offset cannot be read",
                self.handle(uuid),
                ctypes.byref(info),
            )
        except GpuLost:
            raise
        except GpuError:
            return None
        return info.clockOffsetMHz, Span(info.minClockOffsetMHz, info.maxClockOffsetMHz)

    def handle(self, uuid: str) -> Any:
        """Find the library's own name for a card."""
        if uuid not in self._handles:
            with doing(f"{uuid} cannot be found"):
                self._handles[uuid] = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return self._handles[uuid]

    def xid_listener(self) -> XidListener:
        """Begin to listen for Xids of every GPU that reports them."""
        return XidListener(self, [card.uuid for card in self.cards()])

    def _card(self, index: int, driver: str) -> Card:
        with doing(f"GPU {index} cannot be read"):
            card = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = pynvml.nvmlDeviceGetUUID(card)
            name = pynvml.nvmlDeviceGetName(card)
            bus = pynvml.nvmlDeviceGetPciInfo(card).busId
        self._handles[uuid] = card
        limits = self._ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, card)
        default = self._ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, card)
        offset = self.offset(uuid)
        persistence = self._ask(pynvml.nvmlDeviceGetPersistenceMode, card)
        architecture = self._ask(pynvml.nvmlDeviceGetArchitecture, card)
        return Card(
            uuid=uuid,
            index=index,
            name=name,
            bus=bus,
            driver=driver,
            architecture=ARCHITECTURES.get(architecture, "") if architecture else "",
            pstates=tuple(self._pstates(card)),
            # A limit is in whole watts for people, and must lie inside: rounded towards the middle.
            power=None if limits is None else Span(-(-limits[0] // 1000), limits[1] // 1000),
            power_default=None if default is None else round(default / 1000),
            offset=None if offset is None else offset[1],
            persistence=None if persistence is None else bool(persistence),
        )

    def _pstates(self, card: Any) -> Iterator[PState]:
        for number in self._ask(pynvml.nvmlDeviceGetSupportedPerformanceStates, card) or ():
            clocks = [
                self._ask(pynvml.nvmlDeviceGetMinMaxClockOfPState, card, kind, number)
                for kind in (pynvml.NVML_CLOCK_GRAPHICS, pynvml.NVML_CLOCK_MEM)
            ]
            if clocks[0] is not None and clocks[1] is not None:
                yield PState(number, Span(*clocks[0]), Span(*clocks[1]))

    def _ask(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Ask for something that a GPU may lack."""
        try:
            return function(*arguments)
        except pynvml.NVMLError as error:
            if error.value in GAPS:
                return None
            raise explain(error.value, "The GPU does not respond") from error


class XidListener:
    """Listens for Xids; made for a thread of its own, because waiting waits."""

    def __init__(self, nvml: Nvml, uuids: list[str]) -> None:
        self._uuids: dict[int, str] = {}
        with doing("Xid events cannot be received"):
            self._set = pynvml.nvmlEventSetCreate()
        for uuid in uuids:
            handle = nvml.handle(uuid)
            # A GPU that does not report them (some laptops, vGPUs) is watched by its readings alone.
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlDeviceRegisterEvents(handle, XID_EVENT, self._set)
                self._uuids[_address(handle)] = uuid

    def wait(self, milliseconds: int) -> Xid | None:
        """Wait for the next fault, for a while."""
        try:
            event = pynvml.nvmlEventSetWait_v2(self._set, milliseconds)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_TIMEOUT:
                return None
            raise explain(error.value, "Xid events cannot be received") from error
        uuid = self._uuids.get(_address(event.device), "")
        return Xid(uuid, int(event.eventData)) if uuid else None

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlEventSetFree(self._set)


def open_nvml() -> Nvml | None:
    """Open NVML, or give None on a host that has no card."""
    try:
        return Nvml()
    except NoGpu:
        return None


def offset_query() -> Any:
    """Make the structure that core offsets are asked and set with; only the fastest state has one."""
    info = pynvml.c_nvmlClockOffset_t()
    info.version = pynvml.nvmlClockOffset_v1
    info.type = pynvml.NVML_CLOCK_GRAPHICS
    info.pstate = pynvml.NVML_PSTATE_0
    return info


def process_name(pid: int, proc: Path) -> str:
    """Name a process as far as we may see it."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return UNNAMED_PROCESS
    named = [Path(word.decode(errors="replace")).name for word in words if word]
    # "python3 main.py" says more than "python3".
    shown = named[:2] if named and named[0].startswith("python") else named[:1]
    return " ".join(shown)


def _address(handle: Any) -> int:
    return int(ctypes.cast(handle, ctypes.c_void_p).value or 0)
