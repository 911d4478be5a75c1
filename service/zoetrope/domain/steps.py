"""Every legal step of a job, as a function from what it was to what it is; any other step is an error."""

from __future__ import annotations

import time

import msgspec

from ..errors import IllegalTransition, Reason
from .environment import Environment
from .job import ENDED, Attempt, Job, Progress, Stage, State, prompt_id
from .plan import Plan
from .usage import Usage
from .values import Artefact, Failure, SourceImage
from .verdict import Verdict

REVIEWED = frozenset({State.REVIEW})
UNDER_WAY = frozenset({State.WAITING, State.QUEUED, State.RUNNING, State.REVIEW})
REVIVED = frozenset({State.FAILED, State.CANCELLED})

# What a job is, in words, and what a user can do with it then.
STANDS: dict[State, tuple[str, str]] = {
    State.WAITING: ("waits for its other picture", "Add that picture, or cancel the job."),
    State.QUEUED: ("is queued", "It runs by itself; it can be cancelled."),
    State.RUNNING: ("is running", "Wait for the end of its stage, or cancel it."),
    State.REVIEW: ("is to be reviewed", "Approve, decline or cancel it."),
    State.DONE: ("is done", "Its video is in the outbox; zoetrope again {short} makes another."),
    State.FAILED: ("has failed", "Retry it, or change something: zoetrope again {short} --help"),
    State.CANCELLED: (
        "was cancelled",
        "Retry it, or change something: zoetrope again {short} --help",
    ),
    State.REJECTED: ("was rejected", "Fix what its reason says, and drop its picture again."),
}


def _step(job: Job, to: State, now: float, allowed: frozenset[State], **changes: object) -> Job:
    _need(job, allowed, f"become {to}")
    return msgspec.structs.replace(job, state=to, updated=now, **changes)


def _need(job: Job, allowed: frozenset[State], asked: str) -> None:
    """Raise unless a job is in one of some states; `asked` is what is wanted of it, such as "be approved"."""
    if job.state not in allowed:
        stands, step = STANDS[job.state]
        raise IllegalTransition(
            f"Job {job.short} {stands}, so it cannot {asked}.", step.format(short=job.short)
        )


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
    return _with_last(stage, state=state, ended=now, failure=failure)


def _with_last(stage: Stage, **changes: object) -> Stage:
    """Change the stage's last attempt."""
    *before, last = stage.attempts
    return msgspec.structs.replace(
        stage, attempts=(*before, msgspec.structs.replace(last, **changes))
    )


def _without_unrun(stage: Stage) -> Stage:
    """Drop the stage's last attempt if no engine was seen to begin it: it did not happen."""
    if stage.attempts and stage.attempts[-1].state is Progress.SUBMITTED:
        return msgspec.structs.replace(stage, attempts=stage.attempts[:-1])
    return stage


def with_failure(job: Job, now: float, failure: Failure) -> Stage:
    """Give the present stage as it will stand once this failure is written down."""
    return _ending(_current(job), now, Progress.FAILED, failure)


def complete_pair(
    job: Job, now: float, *, images: tuple[SourceImage, ...], **changes: object
) -> Job:
    """The other half arrived: the waiting job joins the queue."""
    return _step(
        job, State.QUEUED, now, frozenset({State.WAITING}), images=images, half="", **changes
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
    environment: Environment | None = None,
    fallbacks: tuple[str, ...] | None = None,
    lint: tuple[str, ...] = (),
    recipe_version: str = "",
    plan: Plan | None = None,
) -> Job:
    """Add the next attempt with its prompt id, and to the first one the plan; recorded before the prompt is sent."""
    stage = _current(job)
    if job.attempt is not None:
        raise IllegalTransition(f"Job {job.short} already has an attempt with an engine.")
    attempt = Attempt(
        number=stage.next_number,
        prompt_id=prompt_id(job.id, stage.name, stage.next_number),
        engine=engine,
        graph=graph,
        source=source,
        version=version,
        attention=attention,
        memory=memory,
        environment=environment,
        fallbacks=stage.fallbacks if fallbacks is None else fallbacks,
        submitted=now,
        lint=lint,
    )
    stage = msgspec.structs.replace(
        stage,
        state=Progress.SUBMITTED,
        attempts=(*stage.attempts, attempt),
        fallbacks=attempt.fallbacks,
        not_before=0.0,
    )
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED}),
        stages=_with_stage(job, stage),
        reason=None,
        recipe_version=recipe_version or job.recipe_version,
        plan=plan or job.plan,
    )


def submit_again(
    job: Job, now: float, *, version: str, attention: str, environment: Environment
) -> Job:
    """The engine does not know the open attempt's prompt: it gets it anew, with what it has now."""
    if job.attempt is None:
        return job
    stage = _current(job)
    known = _with_last(stage, version=version, attention=attention, environment=environment)
    if known == stage:
        return job
    return msgspec.structs.replace(job, updated=now, stages=_with_stage(job, known))


def start(job: Job, now: float) -> Job:
    """The engine was seen working on the open attempt."""
    stage = _current(job)
    if job.attempt is None:
        raise IllegalTransition(f"Job {job.short} has no attempt that could start.")
    stage = _with_last(stage, state=Progress.RUNNING, started=now)
    stage = msgspec.structs.replace(stage, state=Progress.RUNNING)
    return _step(job, State.RUNNING, now, frozenset({State.QUEUED}), stages=_with_stage(job, stage))


def measure(job: Job, now: float, usage: Usage) -> Job:
    """The engine is done with the open attempt, and this is what it took."""
    if job.attempt is None:
        return job
    stage = _with_last(_current(job), gpu=usage)
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
    job: Job, now: float, failure: Failure, fallbacks: tuple[str, ...], not_before: float = 0.0
) -> Job:
    """The attempt failed and there is another fallback: back to the queue."""
    stage = _ending(_current(job), now, Progress.FAILED, failure)
    stage = msgspec.structs.replace(
        stage, state=Progress.PENDING, fallbacks=fallbacks, not_before=not_before
    )
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED, State.RUNNING}),
        stages=_with_stage(job, stage),
    )


def postpone(job: Job, now: float) -> Job:
    """No stage may start now: an attempt that never ran did not happen, one that was made to stop begins anew."""
    stage = _without_unrun(_current(job))
    # The engine's history has the interrupted one under its id: the next one needs another.
    failure = Failure(kind="paused", message="It was interrupted for a pause.")
    stage = _ending(stage, now, Progress.FAILED, failure)
    stage = msgspec.structs.replace(stage, state=Progress.PENDING)
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED, State.RUNNING}),
        stages=_with_stage(job, stage),
    )


def hold(job: Job, now: float, reason: Reason, not_before: float) -> Job:
    """The host lacks something: the attempt never ran, the job waits and says why."""
    stage = _without_unrun(_current(job))
    stage = msgspec.structs.replace(stage, state=Progress.PENDING, not_before=not_before)
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED}),
        reason=reason,
        stages=_with_stage(job, stage),
    )


def set_aside(job: Job, now: float, failure: Failure, reason: Reason) -> Job:
    """The engine lacks something that is no job's fault: back to the queue, where it waits and says why.

    Of many such failures in a row the first and the last are kept, so that a long wait makes no long row.
    """
    stage = _ending(_current(job), now, Progress.FAILED, failure)
    attempts = stage.attempts
    kinds = [each.failure.kind if each.failure else "" for each in attempts[-3:]]
    if kinds == [failure.kind] * 3:
        attempts = (*attempts[:-2], attempts[-1])
    stage = msgspec.structs.replace(stage, state=Progress.PENDING, attempts=attempts)
    return _step(
        job,
        State.QUEUED,
        now,
        frozenset({State.QUEUED, State.RUNNING}),
        reason=reason,
        stages=_with_stage(job, stage),
    )


def wait(job: Job, now: float, reason: Reason | None) -> Job:
    """Something that is not the job's keeps it where it stands, and this is what; None once it is over."""
    if job.reason == reason or job.state in ENDED:
        return job
    return msgspec.structs.replace(job, updated=now, reason=reason)


def give_back(job: Job, reason: Reason | None) -> Job:
    """The picture of an ended job cannot be given back yet, and this is why; None once it can. When it ended stays."""
    if job.unreturned == reason or (job.state not in ENDED and reason is not None):
        return job
    return msgspec.structs.replace(job, unreturned=reason)


def waits_no_more(job: Job, now: float, key: str) -> Job:
    """What a reason of this key says is over; a job that waits for something else goes on waiting."""
    return wait(job, now, None) if job.reason is not None and job.reason.key == key else job


def publish(job: Job, now: float, outbox: str) -> Job:
    """All stages are finished and the folder stands in the outbox."""
    if job.stage is not None:
        raise IllegalTransition(f"Job {job.short} still has the stage {job.stage.name!r} to run.")
    return _step(job, State.DONE, now, frozenset({State.RUNNING}), outbox=outbox, reason=None)


def recognise(job: Job, now: float, outbox: str, stages: tuple[Stage, ...]) -> Job:
    """The video is in the outbox already, made of these stages: this ledger is older than it."""
    return _step(
        job,
        State.DONE,
        now,
        frozenset({State.QUEUED, State.RUNNING, State.REVIEW}),
        outbox=outbox,
        stages=stages,
        reason=None,
    )


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
    """The picture, the ticket or the graph was rejected."""
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
    _need(job, REVIEWED, "be approved")
    looked = next((s for s in reversed(job.stages) if s.state is Progress.DONE), None)
    stages = job.stages
    if looked is not None:
        stages = _with_stage(job, msgspec.structs.replace(looked, approved=True))
    return _step(job, State.QUEUED, now, REVIEWED, reason=None, stages=stages)


def decline(job: Job, now: float, sentence: str = "") -> Job:
    """A person looked and did not like it."""
    _need(job, REVIEWED, "be declined")
    reason = Reason("declined", sentence or "Declined at the review.")
    return _step(job, State.CANCELLED, now, REVIEWED, reason=reason)


def cancel(job: Job, now: float, sentence: str = "") -> Job:
    """A person took the job back."""
    _need(job, UNDER_WAY, "be cancelled")
    reason = Reason("cancelled", sentence or "Cancelled by a user.")
    stages = job.stages
    if (stage := job.stage) is not None:
        failure = Failure(kind="cancelled", message=reason.sentence)
        stages = _with_stage(job, _ending(stage, now, Progress.FAILED, failure))
    return _step(job, State.CANCELLED, now, UNDER_WAY, reason=reason, stages=stages)


def cancelled_attempt(job: Job) -> Attempt | None:
    """Give the attempt that was open when a job was cancelled, so that its engine may still have the prompt."""
    last = job.stage.attempts[-1] if job.stage and job.stage.attempts else None
    failure = last.failure if last is not None else None
    return last if failure is not None and failure.kind == "cancelled" else None


def let_go(job: Job, now: float) -> Job:
    """Retention removes the files of an ended job; when it ended stays as it is."""
    if job.state not in ENDED:
        raise IllegalTransition(f"Job {job.short} is {job.state}; its files are needed.")
    return job if job.removed else msgspec.structs.replace(job, removed=now)


def removed(job: Job) -> Reason:
    """Say when a job's files were removed, and what is left to do."""
    what = "video" if job.state is State.DONE else "work"
    day = time.strftime("%Y-%m-%d", time.localtime(job.removed))
    return Reason(
        "removed",
        f"The {what} of job {job.short} was removed on {day}, as the settings under [keep] say.",
        "Drop its picture again.",
    )


def need_files(job: Job) -> None:
    """Raise if retention removed a job's files."""
    if job.removed:
        reason = removed(job)
        raise IllegalTransition(reason.sentence, reason.next_step, key=reason.key)


def retry(job: Job, now: float) -> Job:
    """A person wants it tried again: finished stages stay finished, an unanswered review is asked again."""
    _need(job, REVIVED, "be retried")
    need_files(job)
    if not job.stages or not job.images:
        raise IllegalTransition(
            f"Job {job.short} never had a usable picture.", "Drop the picture again."
        )
    stages = tuple(
        stage
        if stage.state is Progress.DONE
        else msgspec.structs.replace(stage, state=Progress.PENDING, fallbacks=(), not_before=0.0)
        for stage in job.stages
    )
    done = [stage for stage in stages if stage.state is Progress.DONE]
    to = State.QUEUED
    if len(done) == len(stages):
        to = State.RUNNING  # only the publishing is left
    elif done and done[-1].review and not done[-1].approved:
        to = State.REVIEW
    return _step(job, to, now, REVIVED, reason=None, unreturned=None, stages=stages)
