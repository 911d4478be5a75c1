"""Does each engine run with the attention kernel that was asked for, on a driver that fits?"""

from __future__ import annotations

import asyncio
import re

from ...engine.report import EngineReport, Kernel, ReportUnknown, pending, read
from ...errors import Reason
from ...runtime import Runtime
from ...settings import EngineSettings, Settings
from ..base import CheckResult

# A user's own node pack in place of ours is a choice; missing models are told where recipes are.
NOT_OURS = frozenset({"yours", "models"})
# Those that ComfyUI has a flag for, in people's words.
CANDIDATES = frozenset({"sageattn", "flash_attn", "ck_int8"})
# One report: on sm_120, FlashAttention works from 2.8.3.post1 on (Wan2GP PR 2286).
NO_BLACKWELL = re.compile(r"(?:[01]\.|2\.[0-7]\.|2\.8\.[0-3](?!\.post|\d))")


class KernelCheck:
    """Reads what pre-start.sh found before each engine's last start."""

    name = "kernel"

    def __init__(self, settings: Settings) -> None:
        self._engines = tuple(engine for engine in settings.engines if engine.report is not None)

    async def look(self) -> CheckResult:
        """Say which kernel is in use, and what is not as it was asked for."""
        fine, wrong = [], []
        for engine in self._engines:
            found = await asyncio.to_thread(_read, engine)
            complaint = found if isinstance(found, Reason) else _complaint(found, engine)
            if complaint is not None:
                wrong.append((engine.name, complaint))
            elif isinstance(found, EngineReport):
                fine.append(
                    f"{engine.name} uses {found.chosen} on {found.gpu_name}{_asked(found)}{_rejected(found)}"
                )
        if not wrong:
            return CheckResult(name=self.name, level="ok", found=f"{'; '.join(fine)}.")
        return CheckResult(
            name=self.name,
            level="degraded",
            found=" ".join(f"{name}: {reason.sentence}" for name, reason in wrong),
            next_step=" ".join(dict.fromkeys(reason.next_step for _, reason in wrong)),
        )


def _asked(found: EngineReport) -> str:
    """Say what became of the flags that the service asked for."""
    told = [
        f"{' '.join(each.words)} of the {each.by} is {each.state}: {each.why.rstrip('.')}"
        for each in found.choices
        if each.by != "budget"  # the memory check says what that is
    ]
    return f" ({'; '.join(told)})" if told else ""


def _rejected(found: EngineReport) -> str:
    """Say which kernels are left out on this GPU, and why."""
    return "".join(
        f"; {kernel.name} was rejected: {kernel.reason.rstrip('.')}{_known(kernel, found)}"
        for kernel in found.kernels
        if found.mode != "cpu" and kernel.verdict == "refused" and kernel.name in CANDIDATES
    )


def _known(kernel: Kernel, found: EngineReport) -> str:
    """Say what is known of a kernel's version on such a GPU, where something is."""
    if not (kernel.name == "flash_attn" and found.capability.startswith("12.")):
        return ""
    version = (kernel.version or "").partition("+")[0]
    if not NO_BLACKWELL.match(version):
        return ""
    return f" (on this GPU, FlashAttention is reported to work from 2.8.3.post1 on, and this is {version})"


def _read(engine: EngineSettings) -> EngineReport | Reason:
    assert engine.report is not None
    if (waits := pending(engine.pending)) is not None:
        return waits
    try:
        return read(engine.report)
    except ReportUnknown as error:
        reason = error.reason
        step = reason.next_step or f"pre-start.sh writes it before ComfyUI starts: {_look(engine)}"
        return Reason(reason.key, reason.sentence, step)


def _complaint(found: EngineReport, engine: EngineSettings) -> Reason | None:
    """Give the most important thing that is not as it should be."""
    if found.problem is not None:
        return found.problem
    if found.fell_back:
        known = "".join(
            _known(kernel, found) for kernel in found.kernels if found.wished == "flash"
        )
        return Reason(
            "fell-back",
            f"{found.fell_back}; {found.chosen} is in use{known}.",
            "See docs/kernels.md; or set `auto`, which selects the fastest correct kernel.",
        )
    for warning in found.warnings:
        if warning.key not in NOT_OURS:
            return warning
    if not found.chosen:
        return Reason("no-kernel", "No attention kernel was chosen.", f"See: {_look(engine)}")
    return None


def _look(engine: EngineSettings) -> str:
    unit = engine.restart.unit if engine.restart and engine.restart.unit else "ComfyUI's unit"
    return f"journalctl -u {unit} -e"


def make(runtime: Runtime) -> KernelCheck | None:
    """Make the check where an engine leaves a report."""
    reported = any(engine.report is not None for engine in runtime.settings.engines)
    return KernelCheck(runtime.settings) if reported else None
