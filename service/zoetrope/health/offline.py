"""The checks that need no service: what can be said of a host on which it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import Reason
from ..gpu.tuner import Tuner
from ..gpu.watch import Watch
from ..settings import Settings
from ..web.events import Bus
from ..web.parts import Parts
from .base import Check, Health, Verdict
from .card import CardCheck
from .disk import DiskCheck
from .kernel import KernelCheck
from .models import ModelsCheck
from .service import ServiceCheck
from .settings import SettingsCheck


def offline(down: Reason, file: Path | None) -> Health:
    """Make the checks; with settings that cannot be read, there is nothing further to look at."""
    read = SettingsCheck(file)
    found = read.settings
    return Health(
        (ServiceCheck(down), read, *(_at_rest(found, Watch()) if found is not None else ()))
    )


class CardNow:
    """Looks at the cards itself, as nobody else does here."""

    name = CardCheck.name

    def __init__(self, parts: Parts, watch: Watch) -> None:
        self._watch = watch
        self._check = CardCheck(parts)

    async def look(self) -> Verdict | None:
        """Look once, then judge as ever."""
        await self._watch.look()
        self._watch.looked.set()
        return await self._check.look()


def _at_rest(settings: Settings, watch: Watch) -> Iterator[Check]:
    parts = Parts(settings, Bus(settings.outbox.path))
    parts.tuner = Tuner(settings.gpu, settings.engines, watch)
    yield DiskCheck(lambda: settings)
    if settings.models.path is not None:
        yield ModelsCheck(lambda: settings)
    yield CardNow(parts, watch)
    if any(engine.report is not None for engine in settings.engines):
        yield KernelCheck(settings)
