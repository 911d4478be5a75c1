"""The checks that every running service has."""

from __future__ import annotations

from ..web.parts import Parts
from .base import Health
from .disk import DiskCheck
from .engine import EngineCheck
from .inbox import InboxCheck
from .ledger import LedgerCheck
from .queue import QueueCheck


def standard(parts: Parts) -> Health:
    """Make the checks of a service; parts that come later are seen when they are there."""
    return Health(
        (
            EngineCheck(parts),
            InboxCheck(parts),
            LedgerCheck(parts),
            DiskCheck(parts.settings),
            QueueCheck(parts),
        )
    )
