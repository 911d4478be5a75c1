"""Whether the host ended an engine for lack of memory: as its next start says, or the kernel's log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..engine.process import EngineProcess, find
from ..engine.report import killed_since
from ..settings import EngineSettings
from . import kernel_log
from .kernel_log import Kill


class EngineKills:
    """Remembers which process each engine has, so that the kernel's log can be read for it when it is gone."""

    def __init__(
        self,
        engines: Iterable[EngineSettings],
        *,
        process: Callable[[str], EngineProcess | None] = find,
        log: Callable[[float], tuple[Kill, ...]] = kernel_log.read,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engines = {each.name: each for each in engines}
        self._process = process
        self._log = log
        self._clock = clock
        self._known: dict[str, EngineProcess | None] = {}

    def note(self, engine: str, url: str) -> None:
        """Note which process an engine of this host has before a stage is sent to it."""
        self._known[engine] = self._process(url)

    def since(self, engine: str, began: float) -> bool:
        """Return whether an engine was ended for lack of memory since then."""
        settings = self._engines.get(engine)
        if settings is None:
            return False
        if killed_since(settings.report, began, self._clock()):
            return True
        unit = settings.restart.unit if settings.restart is not None else None
        known = self._known.get(engine)
        if unit is None and known is None:
            return False  # it may be anywhere
        return any(is_of(kill, known, unit) for kill in self._log(began))


def is_of(kill: Kill, process: EngineProcess | None, unit: str | None) -> bool:
    """Tell whether a kill was an engine's: of its process, or of another one in a group that is a service's alone."""
    if unit is not None and kill.group.endswith(f"/{unit}"):
        return True
    if process is None:
        return False
    # A scope is that of a whole login: a browser may have been killed there.
    alone = process.group.endswith(".service") and kill.group == process.group
    return alone or (kill.pid == process.pid if kill.pid else kill.group == process.group)
