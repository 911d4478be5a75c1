"""The checks that need no service: what can be said of a host on which it does not respond."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import Reason
from ..gpu.tuner import Tuner
from ..gpu.watch import Watch
from ..graphs.shelf import of_host
from ..runtime import Runtime
from ..settings import Settings
from .base import Check, CheckResult, Health
from .checks.card import CardCheck
from .checks.disk import DiskCheck
from .checks.kernel import KernelCheck
from .checks.models import ModelsCheck
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
    """Looks at the GPUs itself, as no one else does here."""

    name = CardCheck.name

    def __init__(self, runtime: Runtime, watch: Watch) -> None:
        self._watch = watch
        self._check = CardCheck(runtime)

    async def look(self) -> CheckResult | None:
        """Look once, then judge as ever."""
        await self._watch.look()
        self._watch.looked.set()
        return await self._check.look()


def _at_rest(settings: Settings, watch: Watch) -> Iterator[Check]:
    runtime = Runtime(settings)
    runtime.tuner = Tuner(settings.gpu, settings.engines, watch)
    yield DiskCheck(lambda: settings)
    if settings.models.path is not None:
        shelf = of_host(settings)
        yield ModelsCheck(lambda: settings, lambda: shelf)
    yield CardNow(runtime, watch)
    if any(engine.report is not None for engine in settings.engines):
        yield KernelCheck(settings)
