"""The simulated engine as a child process of the service: engine url `simulated:`, for hosts without a GPU."""

from __future__ import annotations

import logging
from pathlib import Path

from ..address import Address
from ..errors import EngineDown
from ..settings import EngineSettings
from .comfyui import ComfyEngine
from .embedded_process import EmbeddedProcess

log = logging.getLogger("zoetrope.engine")


class EmbeddedEngine(ComfyEngine):
    """The client of a process that the service keeps; the process may outlast it, as over a reload."""

    def __init__(self, settings: EngineSettings, client_id: str, process: EmbeddedProcess) -> None:
        super().__init__(settings, client_id)
        self._process = process

    async def start(self) -> None:
        """See that the process runs, then listen to it as to any engine."""
        await self._process.start()
        self.address = Address(self._process.url)
        await super().start()

    @property
    def starts_anew(self) -> bool:
        """Only a process that outlasted an earlier client can know its prompts."""
        return not self._process.runs

    @property
    def home(self) -> Path | None:
        """Below the service's own state."""
        return self._process.home

    @property
    def can_restart(self) -> bool:
        """We started it, so we can do so again."""
        return True

    async def restart(self) -> None:
        """Kill the process; another one takes its place at the same address."""
        log.warning("restarting engine", extra={"engine": self.name, "action": "engine-restart"})
        await self._process.restart()

    def _down(self, error: BaseException) -> EngineDown:
        usual = super()._down(error).reason.sentence
        return EngineDown(
            f"The simulated engine {self.name} {self._process.trouble}."
            if self._process.trouble
            else usual,
            "The service restarts it; the log of the service has its last output.",
        )
