"""A job as a value: its states, stages and attempts, and every legal step between them."""

from __future__ import annotations

import uuid
from enum import StrEnum

import msgspec

from ..domain.verdict import Verdict
from ..errors import IllegalTransition, Reason
from ..gpu.usage import Usage

# A fixed namespace makes prompt ids a pure function of job, stage and attempt, on every host.
PROMPTS = uuid.UUID("5d7f3c1e-0a52-5c0b-9a57-6f6b2c8e4a11")

Scalar = str | int | float | bool


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"  # one half of a first/last-frame pair is here, the other is not
    QUEUED = "queued"  # its next stage waits for an engine
    RUNNING = "running"  # an engine works on a stage
    REVIEW = "review"  # a stage is finished and a person is asked to look
    DONE = "done"  # the video is in the outbox
    FAILED = "failed"  # all that could be tried was tried
    CANCELLED = "cancelled"  # a person said so, or declined the review
    REJECTED = "rejected"  # the picture, the ticket or the graph was refused


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.REJECTED})


class Progress(StrEnum):
    """Where a stage or an attempt stands."""

    PENDING = "pending"  # nothing was sent to an engine yet
    SUBMITTED = "submitted"  # the prompt id is decided and may have reached the engine
    RUNNING = "running"  # the engine was seen working on it
    DONE = "done"
    FAILED = "failed"


class Still(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture, or a video, that was opened, decoded and measured; its files lie in the work folder."""

    name: str  # as the person named it
    sha256: str  # of the bytes as they arrived
    size: int
    format: str
    width: int  # upright
    height: int
    source: str  # the untouched file in the work folder
    file: str  # the source itself, or the picture made upright, opaque and 8 bit; a video's first frame
    small: str = ""  # a small copy, for people to know it by
    frames: int = 0  # of a video
    fps: float = 0.0
    changes: tuple[str, ...] = ()


class Ticket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the person asked for; absent values are the recipe's to decide."""

    recipe: str
    preset: tuple[str, ...] = ()  # what they stand for is said in the other values
    prompt: str | None = None
    negative: str | None = None
    seed: int | None = None
    seconds: float | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    name: str | None = None
    review: bool | None = None
    auto_resize: bool = True
    parameters: dict[str, Scalar] = {}


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong with an attempt; `kind` is what the ladder decides by."""

    kind: str
    message: str
    node: str = ""
    node_type: str = ""
    exception: str = ""
    looks: tuple[str, ...] = ()  # what its video looks like, if that is what went wrong


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a stage made; `file` lies in the job's work folder until it is published."""

    file: str
    size: int
    sha256: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One submission of a stage to one engine."""

    number: int
    prompt_id: str
    engine: str
    graph: str = ""  # the submitted graph's digest
    source: str = ""  # the file of the stage before that it works on
    version: str = ""  # of the engine
    attention: str = ""  # the kernel that the engine was started with
    memory: float = 0.0  # of its card, in gigabytes; 0 where that is not known
    state: Progress = Progress.SUBMITTED
    relief: tuple[str, ...] = ()
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    gpu: Usage | None = None  # what it took of the card
    lint: tuple[str, ...] = ()  # what the linter warns of in its graph
    failure: Failure | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One graph of the recipe on its way through the engine."""

    name: str
    review: bool = False  # a person looks at the result before the next stage
    approved: bool = False  # and liked it
    state: Progress = Progress.PENDING
    attempts: tuple[Attempt, ...] = ()
    relief: tuple[str, ...] = ()  # rungs of the ladder in force for the next attempt
    not_before: float = 0.0  # the next attempt waits until then
    artefacts: tuple[Artefact, ...] = ()
    handoff: Artefact | None = None  # its frames without loss, for the next stage; never published
    verdicts: tuple[Verdict, ...] = ()  # what verification measured in each of these files
    poster: str = ""  # a frame of the first one, in the work folder


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture (or pair) on its way to one video."""

    id: str
    created: float
    updated: float
    state: State
    stem: str
    folder: str = ""  # the inbox folder it was dropped in, relative to the inbox
    origin: str = "inbox"  # or "api"
    stills: tuple[Still, ...] = ()
    half: str = ""  # which half of a pair is here while waiting: "start" or "end"
    ticket: Ticket
    seed: int = 0
    fingerprint: str = ""
    stages: tuple[Stage, ...] = ()
    notes: tuple[str, ...] = ()  # what of the ticket was corrected, for a person to hear of
    parent: str = ""  # the job this one repeats
    reason: Reason | None = None
    outbox: str = ""  # the published folder's name

    @property
    def short(self) -> str:
        """The eight characters that name the job in folders and logs."""
        return self.id[:8]

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


def prompt_id(job: str, stage: str, attempt: int) -> str:
    """Give the id under which an attempt is known to its engine: the same for the same attempt, always."""
    return str(uuid.uuid5(PROMPTS, f"{job}/{stage}/{attempt}"))


def _step(job: Job, to: State, now: float, allowed: frozenset[State], **changes: object) -> Job:
    if job.state not in allowed:
        raise IllegalTransition(
            f"Job {job.short} is {job.state}; it cannot become {to}.",
            f"This is possible while a job is {' or '.join(sorted(allowed))}.",
        )
    return msgspec.structs.replace(job, state=to, updated=now, **changes)


def _with_stage(job: Job, changed: Stage) -> tuple[Stage, ...]:
    return tuple(changed if stage.name == changed.name else stage for stage in job.stages)


def _current(job: Job) -> Stage:
    if (stage := job.stage) is None:
        raise IllegalTransition(f"Job {job.short} has no stage left to run.")
    return stage


def _ending(stage: Stage, now: float, state: Progress, failure: Failure | None) -> Stage:
    """Close the stage's open attempt, if there is one."""
    if not stage.attempts or stage.attempts[-1].state in (Progress.DONE, Progress.FAILED):
        return stage
    last = msgspec.structs.replace(stage.attempts[-1], state=state, ended=now, failure=failure)
    return msgspec.structs.replace(stage, attempts=(*stage.attempts[:-1], last))


def with_failure(job: Job, now: float, failure: Failure) -> Stage:
    """Give the present stage as it will stand once this failure is written down."""
    return _ending(_current(job), now, Progress.FAILED, failure)


def complete_pair(job: Job, now: float, *, stills: tuple[Still, ...], **changes: object) -> Job:
    """The other half arrived: the waiting job joins the queue."""
    return _step(
        job, State.QUEUED, now, frozenset({State.WAITING}), stills=stills, half="", **changes
    )


def submit(
    job: Job,
    now: float,
    engine: str,
    *,
    graph: str = "",
    source: str = "",
    version: str = "",
    attention: str = "",
    memory: float = 0.0,
    relief: tuple[str, ...] | None = None,
    lint: tuple[str, ...] = (),
) -> Job:
    """Decide the next attempt's prompt id; written down before the engine hears of it."""
    stage = _current(job)
    if job.attempt is not None:
        raise IllegalTransition(f"Job {job.short} already has an attempt with an engine.")
    attempt = Attempt(
        number=len(stage.attempts) + 1,
        prompt_id=prompt_id(job.id, stage.name, len(stage.attempts) + 1),
        engine=engine,
        graph=graph,
        source=source,
        version=version,
        attention=attention,
        memory=memory,
        relief=stage.relief if relief is None else relief,
        submitted=now,
        lint=lint,
    )
    stage = msgspec.structs.replace(
        stage,
        state=Progress.SUBMITTED,
        attempts=(*stage.attempts, attempt),
        relief=attempt.relief,
        not_before=0.0,
    )
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED}),
        stages=_with_stage(job, stage),
        reason=None,
    )


def start(job: Job, now: float) -> Job:
    """The engine was seen working on the open attempt."""
    stage = _current(job)
    if job.attempt is None:
        raise IllegalTransition(f"Job {job.short} has no attempt that could start.")
    last = msgspec.structs.replace(stage.attempts[-1], state=Progress.RUNNING, started=now)
    stage = msgspec.structs.replace(
        stage, state=Progress.RUNNING, attempts=(*stage.attempts[:-1], last)
    )
    return _step(job, State.RUNNING, now, frozenset({State.QUEUED}), stages=_with_stage(job, stage))


def measure(job: Job, now: float, usage: Usage) -> Job:
    """The engine is done with the open attempt, and this is what it took."""
    if job.attempt is None:
        return job
    stage = _current(job)
    last = msgspec.structs.replace(stage.attempts[-1], gpu=usage)
    stage = msgspec.structs.replace(stage, attempts=(*stage.attempts[:-1], last))
    return msgspec.structs.replace(job, updated=now, stages=_with_stage(job, stage))


def finish_stage(
    job: Job,
    now: float,
    artefacts: tuple[Artefact, ...],
    *,
    handoff: Artefact | None = None,
    verdicts: tuple[Verdict, ...] = (),
    poster: str = "",
) -> Job:
    """The stage's files are here and checked: go to review, to the next stage, or stay to be published."""
    stage = _current(job)
    if job.attempt is None:
        raise IllegalTransition(f"Job {job.short} has no attempt that could finish.")
    stage = _ending(stage, now, Progress.DONE, None)
    stage = msgspec.structs.replace(
        stage,
        state=Progress.DONE,
        artefacts=artefacts,
        handoff=handoff,
        verdicts=verdicts,
        poster=poster,
    )
    stages = _with_stage(job, stage)
    last = stage.name == job.stages[-1].name
    to = State.RUNNING if last else State.REVIEW if stage.review else State.QUEUED
    allowed = frozenset({State.QUEUED, State.RUNNING})
    return _step(job, to, now, allowed, stages=stages, reason=None)


def try_again(
    job: Job, now: float, failure: Failure, relief: tuple[str, ...], not_before: float = 0.0
) -> Job:
    """The attempt failed and the ladder has another rung: back to the queue."""
    stage = _ending(_current(job), now, Progress.FAILED, failure)
    stage = msgspec.structs.replace(
        stage, state=Progress.PENDING, relief=relief, not_before=not_before
    )
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED, State.RUNNING}),
        stages=_with_stage(job, stage),
    )


def hold(job: Job, now: float, reason: Reason, not_before: float) -> Job:
    """The host lacks something: the attempt never ran, the job waits and says why."""
    stage = _current(job)
    if stage.attempts and stage.attempts[-1].state is Progress.SUBMITTED:
        stage = msgspec.structs.replace(stage, attempts=stage.attempts[:-1])
    stage = msgspec.structs.replace(stage, state=Progress.PENDING, not_before=not_before)
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED}),
        reason=reason,
        stages=_with_stage(job, stage),
    )


def wait(job: Job, now: float, reason: Reason | None) -> Job:
    """Something that is not the job's keeps it where it stands, and this is what; None once it is over."""
    if job.reason == reason or job.state in ENDED:
        return job
    return msgspec.structs.replace(job, updated=now, reason=reason)


def publish(job: Job, now: float, outbox: str) -> Job:
    """All stages are finished and the folder stands in the outbox."""
    if job.stage is not None:
        raise IllegalTransition(f"Job {job.short} still has the stage {job.stage.name!r} to run.")
    return _step(job, State.DONE, now, frozenset({State.RUNNING}), outbox=outbox, reason=None)


def fail(job: Job, now: float, reason: Reason, failure: Failure | None = None) -> Job:
    """Nothing is left to try."""
    stages = job.stages
    if (stage := job.stage) is not None:
        stage = _ending(stage, now, Progress.FAILED, failure)
        stages = _with_stage(job, msgspec.structs.replace(stage, state=Progress.FAILED))
    return _step(
        job,
        State.FAILED,
        now,
        frozenset({State.QUEUED, State.RUNNING}),
        reason=reason,
        stages=stages,
    )


def reject(job: Job, now: float, reason: Reason) -> Job:
    """The picture, the ticket or the graph was refused."""
    stages = job.stages
    if (stage := job.stage) is not None:
        failure = Failure(kind="refused", message=reason.sentence)
        stages = _with_stage(job, _ending(stage, now, Progress.FAILED, failure))
    return _step(
        job,
        State.REJECTED,
        now,
        frozenset({State.WAITING, State.QUEUED, State.RUNNING}),
        reason=reason,
        stages=stages,
    )


def approve(job: Job, now: float) -> Job:
    """A person looked and liked it: the next stage may run."""
    looked = next((s for s in reversed(job.stages) if s.state is Progress.DONE), None)
    stages = job.stages
    if looked is not None:
        stages = _with_stage(job, msgspec.structs.replace(looked, approved=True))
    return _step(job, State.QUEUED, now, frozenset({State.REVIEW}), reason=None, stages=stages)


def decline(job: Job, now: float, sentence: str = "") -> Job:
    """A person looked and did not like it."""
    reason = Reason("declined", sentence or "Declined at the review.")
    return _step(job, State.CANCELLED, now, frozenset({State.REVIEW}), reason=reason)


def cancel(job: Job, now: float, sentence: str = "") -> Job:
    """A person took the job back."""
    reason = Reason("cancelled", sentence or "Cancelled by a person.")
    stages = job.stages
    if (stage := job.stage) is not None:
        failure = Failure(kind="cancelled", message=reason.sentence)
        stages = _with_stage(job, _ending(stage, now, Progress.FAILED, failure))
    return _step(
        job,
        State.CANCELLED,
        now,
        frozenset({State.WAITING, State.QUEUED, State.RUNNING, State.REVIEW}),
        reason=reason,
        stages=stages,
    )


def retry(job: Job, now: float) -> Job:
    """A person wants it tried again: finished stages stay finished, an unanswered review is asked again."""
    if not job.stages or not job.stills:
        raise IllegalTransition(
            f"Job {job.short} never had a usable picture.", "Drop the picture again."
        )
    stages = tuple(
        stage
        if stage.state is Progress.DONE
        else msgspec.structs.replace(stage, state=Progress.PENDING, relief=(), not_before=0.0)
        for stage in job.stages
    )
    done = [stage for stage in stages if stage.state is Progress.DONE]
    to = State.QUEUED
    if len(done) == len(stages):
        to = State.RUNNING  # only the publishing is left
    elif done and done[-1].review and not done[-1].approved:
        to = State.REVIEW
    return _step(
        job, to, now, frozenset({State.FAILED, State.CANCELLED}), reason=None, stages=stages
    )
