"""The checks that every running service has."""

from __future__ import annotations

from ..web.parts import Parts
from .base import Health
from .baseline import BaselineCheck
from .card import CardCheck
from .clock import ClockCheck
from .disk import DiskCheck
from .engine import EngineCheck
from .heat import HeatCheck
from .inbox import InboxCheck
from .kernel import KernelCheck
from .ledger import LedgerCheck
from .models import ModelsCheck
from .pace import PaceCheck
from .profile import ProfileCheck
from .queue import QueueCheck
from .work import WorkCheck


def standard(parts: Parts) -> Health:
    """Make the checks of a service; parts that come later are seen when they are there."""
    reported = any(engine.report is not None for engine in parts.settings.engines)
    return Health(
        (
            EngineCheck(parts),
            *((KernelCheck(parts.settings),) if reported else ()),
            *((ModelsCheck(lambda: parts.settings),) if parts.settings.models.path else ()),
            CardCheck(parts),
            HeatCheck(parts),
            ProfileCheck(parts),
            BaselineCheck(parts),
            InboxCheck(parts),
            LedgerCheck(parts),
            DiskCheck(lambda: parts.settings),
            QueueCheck(parts),
            PaceCheck(parts),
            WorkCheck(parts),
            ClockCheck(parts),
        )
    )
