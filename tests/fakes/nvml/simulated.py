"""A host with simulated NVIDIA cards: NVML's functions in C, with a state that all processes share."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
LIBRARY = "libnvidia-ml.so.1"
GIB = 1024**3

# Figures of real cards: clocks in MHz, power in W as the driver names them, memory in GiB.
MODELS = {
    "RTX 5090": {
        "name": "NVIDIA GeForce RTX 5090", "arch": 10, "core_min": 180, "core_max": 3090,
        "memory_max": 14001, "power_min": 400, "power_default": 575, "power_max": 600,
        "offset_min": -1000, "offset_max": 1000, "vram": 32 * GIB,
    },
    "RTX 5080": {
        "name": "NVIDIA GeForce RTX 5080", "arch": 10, "core_min": 180, "core_max": 3090,
        "memory_max": 15001, "power_min": 250, "power_default": 360, "power_max": 360,
        "offset_min": -1000, "offset_max": 1000, "vram": 16 * GIB,
    },
    "RTX 3090": {
        "name": "NVIDIA GeForce RTX 3090", "arch": 7, "core_min": 210, "core_max": 2100,
        "memory_max": 9751, "power_min": 100, "power_default": 350, "power_max": 366,
        "offset_min": -1000, "offset_max": 1000, "vram": 24 * GIB,
    },
    "H100": {
        "name": "NVIDIA H100 80GB HBM3", "arch": 9, "core_min": 345, "core_max": 1980,
        "memory_max": 2619, "power_min": 200, "power_default": 700, "power_max": 700,
        "has_offsets": 0, "vram": 80 * GIB,
    },
}  # fmt: skip
# Setters that report success and do nothing.
LIES = {"lock": 1, "offset": 2, "power": 4}


def uid(number: int) -> str:
    """Name a card as the driver does."""
    return f"GPU-{uuid.UUID(int=0x5C8E0F0C << 96 | number)}"


@functools.cache
def library(*, old: bool = False) -> Path:
    """Compile the library; once for each version of its source."""
    flags = ("-DOLD_DRIVER",) if old else ()
    mark = hashlib.sha256(SOURCE.read_bytes() + repr(flags).encode()).hexdigest()[:12]
    built = Path(tempfile.gettempdir()) / f"zoetrope-nvml-{os.geteuid()}-{mark}.so"
    if not built.exists():
        part = built.with_suffix(f".{uuid.uuid4().hex}")
        subprocess.run(
            [
                *("gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", *flags),
                *("-o", str(part), str(SOURCE), "-lm", "-ldl"),
            ],
            check=True,
        )
        part.rename(built)
    return built


class Simulated:
    """Some cards: where their library lies, and every knob that a test turns behind its back."""

    def __init__(
        self,
        folder: Path,
        *cards: str,
        driver: str = "580.95.05",
        old: bool = False,
        state: Path | None = None,
        **options: float,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.library = folder / LIBRARY
        # A copy for each host, because a process loads one file once.
        shutil.copy(library(old=old), self.library)
        self.state = state or folder / "state"
        # Root alone may set anything, as on a real host; without root the tests play it.
        options.setdefault("anyone", 0 if os.geteuid() == 0 else 1)
        lines = [f"state {self.state}", f"driver {driver}"]
        lines += [f"{key} {value}" for key, value in options.items()]
        for number, model in enumerate(cards):
            lines.append(f"card {uid(number)}")
            lines += [f"{key} {value}" for key, value in MODELS[model].items()]
        (folder / "cards.conf").write_text("\n".join(lines) + "\n")
        self.uuids = tuple(uid(number) for number in range(len(cards)))
        self._c = ctypes.CDLL(str(self.library))
        self._c.sim_set.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_double)
        self._c.sim_get.argtypes = (ctypes.c_int, ctypes.c_char_p)
        self._c.sim_get.restype = ctypes.c_double
        self._c.sim_xid.argtypes = (ctypes.c_int, ctypes.c_double)

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to see these cards."""
        return {"LD_LIBRARY_PATH": str(self.folder)}

    def set(self, card: int | None = 0, **values: float) -> None:
        """Turn something on a card, or with None on the host."""
        for key, value in values.items():
            assert self._c.sim_set(-1 if card is None else card, key.encode(), value) == 0, key

    def get(self, key: str, card: int | None = 0) -> float:
        """Read something of a card, or with None of the host."""
        return float(self._c.sim_get(-1 if card is None else card, key.encode()))

    def xid(self, number: int, card: int = 0) -> None:
        """Have the driver report a fault."""
        self._c.sim_xid(card, number)

    def tuning(self, card: int = 0) -> tuple[float, float, float]:
        """Give what is really set: highest clock (0: none), offset, power limit."""
        return (self.get("lock_max", card), self.get("offset", card), self.get("limit", card))

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Let this process see the cards through the real bindings."""
        import pynvml

        before = pynvml.nvmlLib
        pynvml.nvmlLib = ctypes.CDLL(str(self.library))
        pynvml._nvmlGetFunctionPointer_cache.clear()
        try:
            yield
        finally:
            pynvml.nvmlLib = before
            pynvml._nvmlGetFunctionPointer_cache.clear()
