"""Every state meets every verb: the legal steps are listed here, all others must be errors."""

import itertools
import uuid

import msgspec
import pytest

from tests.fakes.source_image import plain_image
from zoetrope.domain import steps
from zoetrope.domain.job import ENDED, Job, Progress, Stage, State
from zoetrope.domain.values import Artefact, Failure, Ticket
from zoetrope.errors import IllegalTransition, Reason

IMAGE = plain_image()
WHY = Reason("test", "For the test.")
BROKE = Failure(kind="oom", message="no memory")
MADE = (Artefact(file="i2v-1.mp4", size=1, sha256="1" * 64),)


def make(state: State, **changes) -> Job:
    job = Job(
        id="ab" * 16,
        created=1.0,
        updated=1.0,
        state=state,
        stem="cat",
        ticket=Ticket(recipe="tiny"),
        images=(IMAGE,),
        stages=(Stage(name="i2v", review=True), Stage(name="upscale")),
    )
    return msgspec.structs.replace(job, **changes)


def submitted(state: State = State.QUEUED) -> Job:
    return msgspec.structs.replace(steps.submit(make(State.QUEUED), 2.0, "e"), state=state)


VERBS = {
    "complete_pair": lambda j: steps.complete_pair(j, 3.0, images=(IMAGE, IMAGE)),
    "submit": lambda j: steps.submit(j, 3.0, "e"),
    "start": lambda j: steps.start(j, 3.0),
    "finish_stage": lambda j: steps.finish_stage(j, 3.0, MADE),
    "try_again": lambda j: steps.try_again(j, 3.0, BROKE, ("free",)),
    "hold": lambda j: steps.hold(j, 3.0, WHY, 9.0),
    "postpone": lambda j: steps.postpone(j, 3.0),
    "fail": lambda j: steps.fail(j, 3.0, WHY),
    "reject": lambda j: steps.reject(j, 3.0, WHY),
    "approve": lambda j: steps.approve(j, 3.0),
    "decline": lambda j: steps.decline(j, 3.0),
    "cancel": lambda j: steps.cancel(j, 3.0),
    "retry": lambda j: steps.retry(j, 3.0),
    "let_go": lambda j: steps.let_go(j, 3.0),
    "publish": lambda j: steps.publish(j, 3.0, "cat-abababab"),
}

# (verb, state with an attempt open?) -> the state it leads to. What is not here is illegal.
LEGAL = {
    ("complete_pair", State.WAITING, False): State.QUEUED,
    ("submit", State.QUEUED, False): State.QUEUED,
    ("start", State.QUEUED, True): State.RUNNING,
    ("finish_stage", State.QUEUED, True): State.REVIEW,
    ("finish_stage", State.RUNNING, True): State.REVIEW,
    ("try_again", State.QUEUED, True): State.QUEUED,
    ("try_again", State.RUNNING, True): State.QUEUED,
    ("try_again", State.QUEUED, False): State.QUEUED,
    ("try_again", State.RUNNING, False): State.QUEUED,
    ("hold", State.QUEUED, True): State.QUEUED,
    ("hold", State.QUEUED, False): State.QUEUED,
    **{
        ("postpone", state, attempt): State.QUEUED
        for state in (State.QUEUED, State.RUNNING)
        for attempt in (False, True)
    },
    ("fail", State.QUEUED, True): State.FAILED,
    ("fail", State.RUNNING, True): State.FAILED,
    ("fail", State.QUEUED, False): State.FAILED,
    ("fail", State.RUNNING, False): State.FAILED,
    ("approve", State.REVIEW, False): State.QUEUED,
    ("approve", State.REVIEW, True): State.QUEUED,
    ("decline", State.REVIEW, False): State.CANCELLED,
    ("decline", State.REVIEW, True): State.CANCELLED,
    **{
        ("reject", state, attempt): State.REJECTED
        for state in (State.WAITING, State.QUEUED, State.RUNNING)
        for attempt in (False, True)
    },
    **{
        ("cancel", state, attempt): State.CANCELLED
        for state in (State.WAITING, State.QUEUED, State.RUNNING, State.REVIEW)
        for attempt in (False, True)
    },
    **{
        ("retry", state, attempt): State.QUEUED
        for state in (State.FAILED, State.CANCELLED)
        for attempt in (False, True)
    },
    ("complete_pair", State.WAITING, True): State.QUEUED,
    **{("let_go", state, attempt): state for state in ENDED for attempt in (False, True)},
}


@pytest.mark.parametrize(
    ("verb", "state", "attempt"), list(itertools.product(VERBS, State, (False, True)))
)
def test_every_step_is_legal_or_an_error(verb: str, state: State, attempt: bool):
    job = submitted(state) if attempt else make(state)
    expected = LEGAL.get((verb, state, attempt))
    if expected is None:
        with pytest.raises(IllegalTransition):
            VERBS[verb](job)
    else:
        after = VERBS[verb](job)
        assert after.state is expected
        # When it ended is still to be seen of a job whose files are gone.
        assert after.updated == (job.updated if verb == "let_go" else 3.0)


def test_a_whole_life_with_review():
    job = steps.submit(make(State.QUEUED), 1.0, "gpu0", graph="g", version="v")
    assert job.attempt is not None
    assert job.attempt.prompt_id == steps.prompt_id(job.id, "i2v", 1)
    job = steps.start(job, 2.0)
    job = steps.finish_stage(job, 3.0, MADE)
    assert job.state is State.REVIEW
    job = steps.approve(job, 4.0)
    assert job.stages[0].approved
    job = steps.finish_stage(steps.start(steps.submit(job, 5.0, "gpu0"), 6.0), 7.0, MADE)
    assert (job.state, job.stage) == (State.RUNNING, None)
    job = steps.publish(job, 8.0, "cat-abababab")
    assert (job.state, job.outbox) == (State.DONE, "cat-abababab")


def test_without_a_review_the_next_stage_queues():
    job = make(State.QUEUED, stages=(Stage(name="i2v"), Stage(name="upscale")))
    job = steps.finish_stage(steps.start(steps.submit(job, 1.0, "e"), 2.0), 3.0, MADE)
    assert job.state is State.QUEUED
    assert job.stage is not None
    assert job.stage.name == "upscale"


def test_prompt_ids_are_canonical_and_differ_by_job_stage_and_attempt():
    ids = {
        steps.prompt_id(job, stage, attempt)
        for job in ("a", "b")
        for stage in ("i2v", "upscale")
        for attempt in (1, 2)
    }
    assert len(ids) == 8
    assert all(str(uuid.UUID(each)) == each for each in ids)


def test_a_failed_attempt_keeps_its_failure_and_the_next_has_a_new_id():
    job = steps.start(steps.submit(make(State.QUEUED), 1.0, "e"), 2.0)
    job = steps.try_again(job, 3.0, BROKE, ("free", "tiled"))
    assert job.stage is not None
    first = job.stage.attempts[0]
    assert (first.state, first.failure, first.ended) == (Progress.FAILED, BROKE, 3.0)
    job = steps.submit(job, 4.0, "e")
    assert job.attempt is not None
    assert job.attempt.number == 2
    assert job.attempt.fallbacks == ("free", "tiled")
    assert job.attempt.prompt_id != first.prompt_id


def test_a_hold_takes_the_unsent_attempt_back():
    job = steps.hold(steps.submit(make(State.QUEUED), 1.0, "e"), 2.0, WHY, 62.0)
    assert job.stage is not None
    assert job.stage.attempts == ()
    assert (job.stage.not_before, job.reason) == (62.0, WHY)
    assert steps.submit(job, 63.0, "e").reason is None


def test_a_pause_forgets_what_never_ran_and_numbers_what_was_interrupted():
    job = steps.submit(make(State.QUEUED), 1.0, "e")
    first = job.attempt.prompt_id
    unsent = steps.postpone(job, 2.0)
    assert unsent.stage.attempts == ()
    assert steps.submit(unsent, 3.0, "e").attempt.prompt_id == first
    job = steps.postpone(steps.start(job, 2.0), 3.0)
    (stopped,) = job.stage.attempts
    assert (stopped.state, stopped.failure.kind, job.attempt) == (Progress.FAILED, "paused", None)
    assert steps.submit(job, 4.0, "e").attempt.prompt_id != first


@pytest.mark.parametrize(
    ("verb", "state", "says", "step"),
    [
        ("approve", State.RUNNING, "is running, so it cannot be approved.", "Wait for the end"),
        ("approve", State.DONE, "is done, so it cannot be approved.", "zoetrope again abababab"),
        ("decline", State.QUEUED, "is queued, so it cannot be declined.", "it can be cancelled."),
        (
            "retry",
            State.REJECTED,
            "was rejected, so it cannot be retried.",
            "drop its picture again.",
        ),
        ("retry", State.REVIEW, "is to be reviewed, so it cannot be retried.", "Approve, decline"),
        ("cancel", State.FAILED, "has failed, so it cannot be cancelled.", "Retry it, or"),
        ("approve", State.WAITING, "waits for its other picture, so", "Add that picture"),
        ("cancel", State.CANCELLED, "was cancelled, so it cannot be cancelled.", "Retry it, or"),
    ],
)
def test_what_cannot_be_done_says_how_the_job_stands_and_what_can(verb, state, says, step):
    with pytest.raises(IllegalTransition) as caught:
        VERBS[verb](make(state))
    assert caught.value.reason.sentence.startswith(f"Job abababab {says}")
    assert step in caught.value.reason.next_step
    assert "{" not in caught.value.reason.next_step


def test_retry_keeps_finished_stages_and_asks_an_unanswered_review_again():
    job = steps.finish_stage(
        steps.start(steps.submit(make(State.QUEUED), 1.0, "e"), 2.0), 3.0, MADE
    )
    declined = steps.decline(job, 4.0, "eyes wander")
    assert declined.reason == Reason("declined", "eyes wander")
    assert steps.retry(declined, 5.0).state is State.REVIEW
    approved = steps.cancel(steps.approve(job, 4.0), 5.0)
    again = steps.retry(approved, 6.0)
    assert again.state is State.QUEUED
    assert again.stages[0].artefacts == MADE


def test_retry_of_a_refused_picture_is_an_error():
    job = make(State.CANCELLED, images=(), stages=())
    with pytest.raises(IllegalTransition, match="usable picture"):
        steps.retry(job, 2.0)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_a_retry_says_on_which_day_the_work_was_removed(state):
    job = steps.let_go(make(state), 1_800_000_000.0)
    assert steps.let_go(job, 1_900_000_000.0) is job
    with pytest.raises(IllegalTransition) as caught:
        steps.retry(job, 1_900_000_000.0)
    assert "The work of job abababab was removed on 2027-01-1" in caught.value.reason.sentence
    assert caught.value.reason.next_step == "Drop its picture again."


def test_retry_forgets_the_ladder():
    job = steps.start(steps.submit(make(State.QUEUED), 1.0, "e"), 2.0)
    job = steps.fail(steps.try_again(job, 3.0, BROKE, ("free", "tiled")), 4.0, WHY)
    again = steps.retry(job, 5.0)
    assert again.stage is not None
    assert again.stage.fallbacks == ()
    assert len(again.stage.attempts) == 1
