"""The shapes of the parts that web, health and systemd look at; app.py hands in the real ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from ..domain.job import Job, State
from ..engine.protocol import Stats
from ..errors import LedgerError, Reason
from ..gpu.tuner import Tuner
from ..graphs.shelf import Recipes
from ..jobs.ledger import Row
from ..jobs.progress import Live
from ..jobs.question import Question
from ..settings import Settings
from .events import Bus
from .tally import Tally


class LaneStatus(Protocol):
    """One engine as the conductor sees it."""

    @property
    def name(self) -> str:
        """The engine's name in the settings."""
        ...

    @property
    def url(self) -> str:
        """Where it is."""
        ...

    @property
    def up(self) -> bool:
        """Whether it answers."""
        ...

    @property
    def reason(self) -> Reason | None:
        """Why it does not."""
        ...

    @property
    def stats(self) -> Stats | None:
        """What it says of itself."""
        ...

    @property
    def since(self) -> float:
        """The unix time from which it has been up or down."""
        ...

    @property
    def in_hand(self) -> tuple[str, ...]:
        """The ids of the jobs it holds."""
        ...

    @property
    def reconnects(self) -> int:
        """How often its stream of events was opened again."""
        ...


class Status(Protocol):
    """The conductor's view of the queue."""

    @property
    def paused(self) -> Reason | None:
        """Why nothing new is started, if so."""
        ...

    @property
    def lanes(self) -> Sequence[LaneStatus]:
        """Every engine of the settings."""
        ...

    @property
    def waiting(self) -> Mapping[str, Reason]:
        """What keeps single jobs that is not their fault, by their ids."""
        ...


class Conductor(Protocol):
    """Who moves jobs on."""

    def live(self, job_id: str) -> Live | None:
        """How far a running job is."""
        ...

    def status(self) -> Status:
        """How the queue and the engines stand."""
        ...

    async def approve(self, job_id: str) -> Job:
        """Let a reviewed job go on."""
        ...

    async def decline(self, job_id: str, why: str = "") -> Job:
        """End a reviewed job."""
        ...

    async def cancel(self, job_id: str, why: str = "") -> Job:
        """Take a job back."""
        ...

    async def retry(self, job_id: str) -> Job:
        """Try a failed or cancelled job again."""
        ...


class InboxStatus(Protocol):
    """What is known of the inbox folder."""

    @property
    def problem(self) -> Reason | None:
        """Why pictures cannot be taken at all."""
        ...

    @property
    def unreadable(self) -> Sequence[str]:
        """Files that are there and cannot be read."""
        ...

    @property
    def mode(self) -> str:
        """How changes are noticed: "inotify", "poll", or "none" while nothing can be watched."""
        ...

    @property
    def last_scan(self) -> float | None:
        """The unix time of the last look at the whole folder."""
        ...

    @property
    def scanning_seconds(self) -> float:
        """How long the look that goes on now has taken."""
        ...


class Watcher(Protocol):
    """Who watches the inbox folder."""

    progress: float  # monotonic time of its last finished round

    @property
    def status(self) -> InboxStatus:
        """What it sees."""
        ...


class Held(Protocol):
    """A picture that waits for something that is not its own fault."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def reason(self) -> Reason:
        """What it waits for."""
        ...


class IntakeStatus(Protocol):
    """What keeps pictures from becoming jobs."""

    @property
    def problem(self) -> Reason | None:
        """Why none is taken at all."""
        ...

    @property
    def held(self) -> Sequence[Held]:
        """Those that are kept for later."""
        ...


class Intake(Protocol):
    """Who makes jobs of what lies in the inbox."""

    @property
    def status(self) -> IntakeStatus:
        """What it does."""
        ...


class Counter(Protocol):
    """Who makes jobs of what somebody hands over and waits for."""

    async def take_upload(
        self,
        file: Path,
        name: str,
        ticket: dict[str, object],
        *,
        end: tuple[Path, str] | None = None,
        parent: str = "",
    ) -> Job:
        """Make a job of an uploaded picture, or raise Rejected."""
        ...

    async def again(
        self, earlier: Job, files: tuple[tuple[Path, str], ...], changes: dict[str, object]
    ) -> Job:
        """Make another job of an earlier one's pictures."""
        ...

    async def take_named(self, path: str, ticket: dict[str, object], *, parent: str = "") -> Job:
        """Make a job of a picture that lies in the inbox."""
        ...


class Ledger(Protocol):
    """The part of the ledger that is read here."""

    last_progress: float
    writes: int  # how often a job was written; the same number means the same jobs

    async def find(self, prefix: str) -> Job:
        """Find a job by the beginning of its id."""
        ...

    async def page(self, question: Question) -> list[Row]:
        """List jobs, newest first."""
        ...

    async def counts(self) -> dict[State, int]:
        """Count the jobs in each state."""
        ...

    async def tally(self) -> dict[tuple[str, State], int]:
        """Count the jobs of each recipe in each state."""
        ...

    async def next(self, now: float, *, without: Iterable[str] = ()) -> Job | None:
        """Find the oldest job whose time has come."""
        ...

    async def ping(self) -> float:
        """Write something small and say how long that took."""
        ...

    async def check(self) -> str | None:
        """Read the whole file and say what is wrong with it."""
        ...


class Parts:
    """What the running service is made of; a part that could not be started is None, with the reason."""

    def __init__(self, settings: Settings, bus: Bus) -> None:
        self.settings = settings
        self.bus = bus
        self.ledger: Ledger | None = None
        self.conductor: Conductor | None = None
        self.intake: Intake | None = None
        self.counter: Counter | None = None
        self.recipes: Recipes | None = None
        self.watcher: Watcher | None = None
        self.tuner: Tuner | None = None
        self.tally = Tally()
        self.problem: Reason | None = None  # why the ledger, and with it the rest, is not there

    @property
    def uploads(self) -> Path:
        """The folder in which requests keep files while they last."""
        return self.settings.state.path / "uploads"

    async def find(self, prefix: str) -> Job:
        """Find a job by the beginning of its id, as people write it."""
        return await self.need_ledger().find(prefix.lower())

    def need_ledger(self) -> Ledger:
        """Give the ledger, or say why it is not there."""
        return self.ledger or self._missing()

    def need_conductor(self) -> Conductor:
        """Give the conductor, or say why it is not there."""
        return self.conductor or self._missing()

    def need_counter(self) -> Counter:
        """Give the counter, or say why it is not there."""
        return self.counter or self._missing()

    def need_recipes(self) -> Recipes:
        """Give the recipes, or say why they are not there."""
        return self.recipes or self._missing()

    def _missing(self) -> NoReturn:
        if (reason := self.problem) is not None:
            raise LedgerError(reason.sentence, reason.next_step, key=reason.key)
        raise LedgerError(
            "The service is still starting.", "Try again in a moment.", key="starting"
        )
