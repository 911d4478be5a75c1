"""The checks that every running service has."""

from __future__ import annotations

from ..web.parts import Parts
from .base import Health
from .disk import DiskCheck
from .engine import EngineCheck
from .inbox import InboxCheck
from .kernel import KernelCheck
from .ledger import LedgerCheck
from .models import ModelsCheck
from .queue import QueueCheck


def standard(parts: Parts) -> Health:
    """Make the checks of a service; parts that come later are seen when they are there."""
    reported = any(engine.report is not None for engine in parts.settings.engines)
    return Health(
        (
            EngineCheck(parts),
            *((KernelCheck(parts.settings),) if reported else ()),
            *((ModelsCheck(lambda: parts.settings),) if parts.settings.models.path else ()),
            InboxCheck(parts),
            LedgerCheck(parts),
            DiskCheck(lambda: parts.settings),
            QueueCheck(parts),
        )
    )
