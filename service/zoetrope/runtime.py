"""What the running service is made of, for whoever looks at it: health, page, systemd."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from .domain.job import Job
from .engine.flag_request import FlagRequests
from .errors import LedgerError, Reason
from .gpu.tuner import Tuner
from .graphs.shelf import Recipes
from .inbox.intake import Intake
from .inbox.readmission import Readmission
from .inbox.submissions import Submissions
from .inbox.watcher import Watcher
from .jobs.conductor import Conductor
from .jobs.keeper import Keeper
from .jobs.tally import Tally
from .models.hashes import Hashes
from .settings import Settings
from .store.protocol import JobStore


class Runtime:
    """The parts of the service; one that could not be started yet is None, with the reason in `problem`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger: JobStore | None = None
        self.conductor: Conductor | None = None
        self.intake: Intake | None = None
        self.submissions: Submissions | None = None
        self.readmission: Readmission | None = None
        self.recipes: Recipes | None = None
        self.hashes: Hashes | None = None
        self.watcher: Watcher | None = None
        self.tuner: Tuner | None = None
        self.keeper: Keeper | None = None
        self.flag_requests: FlagRequests | None = None
        self.tally = Tally()
        self.problem: Reason | None = None  # why the ledger, and with it the rest, is not there

    @property
    def uploads(self) -> Path:
        """The folder in which requests keep files while they last."""
        return self.settings.state.path / "uploads"

    async def find(self, prefix: str) -> Job:
        """Find a job by the beginning of its id, as people write it."""
        return await self.need_ledger().find(prefix.lower())

    def need_ledger(self) -> JobStore:
        """Give the ledger, or say why it is not there."""
        return self.ledger or self._missing()

    def need_conductor(self) -> Conductor:
        """Give the conductor, or say why it is not there."""
        return self.conductor or self._missing()

    def need_submissions(self) -> Submissions:
        """Give the counter, or say why it is not there."""
        return self.submissions or self._missing()

    def need_readmission(self) -> Readmission:
        """Give what takes lost work in, or say why it is not there."""
        return self.readmission or self._missing()

    def need_recipes(self) -> Recipes:
        """Give the recipes, or say why they are not there."""
        return self.recipes or self._missing()

    def need_hashes(self) -> Hashes:
        """Give the hashes of model files, or say why they are not there."""
        return self.hashes or self._missing()

    def need_flag_requests(self) -> FlagRequests:
        """Give what asks for the engines' launch flags, or say why it is not there."""
        return self.flag_requests or self._missing()

    def _missing(self) -> NoReturn:
        if (reason := self.problem) is not None:
            raise LedgerError(reason.sentence, reason.next_step, key=reason.key)
        raise LedgerError(
            "The service is still starting.", "Try again in a moment.", key="starting"
        )
