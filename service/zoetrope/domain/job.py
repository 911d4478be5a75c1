"""A job as a value: its states, stages and attempts."""

from __future__ import annotations

import re
import uuid
from enum import StrEnum
from typing import Annotated

import msgspec

from ..errors import Reason
from ..structs import primed
from .environment import Environment
from .plan import Plan
from .usage import Usage
from .values import Artefact, Failure, SourceImage, Ticket
from .verdict import Verdict

# A fixed namespace makes prompt ids a pure function of job, stage and attempt, on every host.
PROMPTS = uuid.UUID("5d7f3c1e-0a52-5c0b-9a57-6f6b2c8e4a11")


_ID = re.compile(r"[0-9a-f]{32}")


def is_job_id(name: str) -> bool:
    """Return whether a name has the form of a job's id, which claims and work folders have as well."""
    return _ID.fullmatch(name) is not None


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"  # one half of a first/last-frame pair is here, the other is not
    QUEUED = "queued"  # its next stage waits for an engine
    RUNNING = "running"  # an engine works on a stage
    REVIEW = "review"  # a stage is finished and a person is asked to look
    DONE = "done"  # the video is in the outbox
    FAILED = "failed"  # all that could be tried was tried
    CANCELLED = "cancelled"  # a person said so, or declined the review
    REJECTED = "rejected"  # the picture, the ticket or the graph was rejected


# Bounds that every form of the store can order by.
Priority = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]

ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.REJECTED})


class Progress(StrEnum):
    """Where a stage or an attempt stands."""

    PENDING = "pending"  # nothing was sent to an engine yet
    SUBMITTED = "submitted"  # the prompt id is decided and may have reached the engine
    RUNNING = "running"  # the engine was seen working on it
    DONE = "done"
    FAILED = "failed"


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One submission of a stage to one engine."""

    number: int
    prompt_id: str
    engine: str
    graph: str = ""  # the submitted graph's digest
    source: str = ""  # the file of the stage before that it works on
    version: str = ""  # of the engine
    attention: str = ""  # the kernel that the engine was started with
    memory: float = 0.0  # of its GPU, in gigabytes; 0 where that is not known
    # What the engine had besides the graph, when it was submitted.
    environment: Environment | None = None
    state: Progress = Progress.SUBMITTED
    fallbacks: tuple[str, ...] = msgspec.field(default=(), name="relief")
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    gpu: Usage | None = None  # what it took of the GPU
    lint: tuple[str, ...] = ()  # what the linter warns of in its graph
    failure: Failure | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One graph of the recipe on its way through the engine."""

    name: str
    review: bool = False  # a person looks at the result before the next stage
    approved: bool = False  # and liked it
    state: Progress = Progress.PENDING
    attempts: tuple[Attempt, ...] = ()
    # Those that the next attempt runs with.
    fallbacks: tuple[str, ...] = msgspec.field(default=(), name="relief")
    not_before: float = 0.0  # the next attempt waits until then
    artefacts: tuple[Artefact, ...] = ()
    handoff: Artefact | None = None  # its frames without loss, for the next stage; never published
    verdicts: tuple[Verdict, ...] = ()  # what verification measured in each of these files
    poster: str = ""  # a frame of the first one, in the work folder

    @property
    def next_number(self) -> int:
        """The number of the next attempt: none is given twice, since the engine knows prompts by it."""
        return self.attempts[-1].number + 1 if self.attempts else 1


@primed
class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture (or pair) on its way to one video."""

    id: str
    created: float
    updated: float
    state: State
    stem: str
    folder: str = ""  # the inbox folder it was dropped in, relative to the inbox
    origin: str = "inbox"  # or "api"
    images: tuple[SourceImage, ...] = msgspec.field(default=(), name="stills")
    half: str = ""  # which half of a pair is here while waiting: "start" or "end"
    ticket: Ticket
    seed: int = 0
    fingerprint: str = ""
    recipe_version: str = ""  # when it was accepted; "" in ledgers of an older zoetrope
    plan: Plan | None = None  # decided with the first submission
    stages: tuple[Stage, ...] = ()
    notes: tuple[str, ...] = ()  # what of the ticket was corrected, for a person to hear of
    parent: str = ""  # the job this one repeats
    request: str = ""  # the key and digest of the request that made it, where it had a key
    priority: Priority = 0  # the higher, the sooner; among equals the first to arrive
    reason: Reason | None = None
    unreturned: Reason | None = None  # why its picture is not given back yet, where it has to be
    outbox: str = ""  # the published folder's name
    removed: float = 0.0  # when retention removed its files; 0 while they are kept

    @property
    def name(self) -> str:
        """What people call it: its first picture, as they named it."""
        return self.images[0].name if self.images else self.stem

    @property
    def short(self) -> str:
        """The eight characters that name the job in folders and logs."""
        return self.id[:8]

    @property
    def begun(self) -> bool:
        """Whether the first stage was made, or is being made: then the plan stands."""
        attempts = self.stages[0].attempts if self.stages else ()
        return bool(attempts) and attempts[-1].state is not Progress.FAILED

    @property
    def stage(self) -> Stage | None:
        """The first stage that is not finished."""
        return next((stage for stage in self.stages if stage.state is not Progress.DONE), None)

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that an engine may be holding now."""
        stage = self.stage
        last = stage.attempts[-1] if stage and stage.attempts else None
        return last if last and last.state in (Progress.SUBMITTED, Progress.RUNNING) else None

    @property
    def needs_work(self) -> bool:
        """Whether its work folder may be needed.

        What was rejected at the door lies in the inbox's `rejected`; what was rejected later, in its work alone.
        """
        return self.state is not State.REJECTED or bool(self.stages)


def prompt_id(job: str, stage: str, attempt: int) -> str:
    """Give the id under which an attempt is known to its engine: the same for the same attempt, always."""
    return str(uuid.uuid5(PROMPTS, f"{job}/{stage}/{attempt}"))
