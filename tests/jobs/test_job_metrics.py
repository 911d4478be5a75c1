"""What counts as having measured between two states of a job."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.domain import steps
from zoetrope.domain.job import Job, Progress, Stage, State
from zoetrope.domain.usage import Usage
from zoetrope.domain.values import Artefact, Failure, Ticket
from zoetrope.errors import IllegalTransition, Reason
from zoetrope.jobs.job_metrics import FallbackUsed, JobRejected, StageDone, VideoDone, measured

FILES = (Artefact(file="a.mp4", size=1, sha256="0"),)
OOM = Failure(kind="oom", message="Allocation on device")
WHY = Reason("picture-broken", "It is broken.")


def make(state=State.QUEUED, **changes) -> Job:
    stages = (Stage(name="i2v", review=True), Stage(name="upscale"))
    job = Job(
        id="a" * 32, created=1.0, updated=1.0, state=state, stem="cat",
        ticket=Ticket(recipe="hero"), stages=stages,
    )  # fmt: skip
    return msgspec.structs.replace(job, **changes)


def usage(watt_hours):
    return Usage(card="GPU-1", name="RTX 5090", energy_wh=watt_hours)


def running(job, at=10.0):
    return steps.start(steps.submit(job, at - 5, "e0"), at)


def test_a_finished_stage_took_as_long_as_the_engine_was_at_work():
    before = running(make(), at=10.0)
    after = steps.finish_stage(before, 52.5, FILES)
    assert measured(before, after) == (StageDone("hero", "i2v", 42.5),)


def test_a_stage_that_was_never_seen_at_work_counts_from_when_it_was_sent():
    before = steps.submit(make(), 10.0, "e0")
    assert measured(before, steps.finish_stage(before, 11.0, FILES)) == (
        StageDone("hero", "i2v", 1.0),
    )


def test_a_clock_that_was_set_back_makes_no_negative_seconds():
    before = running(make(), at=1000.0)
    assert measured(before, steps.finish_stage(before, 10.0, FILES)) == (
        StageDone("hero", "i2v", 0.0),
    )


def test_only_the_rungs_that_a_failure_added_were_climbed():
    before = running(make())
    once = steps.try_again(before, 20.0, OOM, ("free", "tiled"))
    assert measured(before, once) == (FallbackUsed("free"), FallbackUsed("tiled"))
    again = running(once, at=30.0)
    assert measured(once, again) == ()
    assert measured(again, steps.try_again(again, 40.0, OOM, ("free", "tiled", "half"))) == (
        FallbackUsed("half"),
    )


def test_starting_on_a_remembered_rung_is_no_climb():
    job = make()
    assert measured(job, steps.submit(job, 5.0, "e0", fallbacks=("tiled",))) == ()


def test_a_failure_that_is_tried_again_as_it_was_climbs_nothing():
    before = running(make())
    assert measured(before, steps.try_again(before, 20.0, OOM, ())) == ()


def whole(*energies, measured=True):
    """Take a job to where only publishing is left; an energy is what one attempt took."""
    job = running(make())
    for number, energy in enumerate(energies):
        if measured:
            job = steps.measure(job, 20.0, usage(energy))
        if number < len(energies) - 2:
            job = running(steps.try_again(job, 20.0, OOM, ()))
            continue
        job = steps.finish_stage(job, 30.0, FILES)
        if job.state is State.REVIEW:
            job = running(steps.approve(job, 31.0))
    assert job.stage is None
    return job


def test_a_video_costs_what_all_of_its_attempts_took():
    before = whole(1.0, 2.0, 3.0)
    assert measured(before, steps.publish(before, 40.0, "cat-1")) == (VideoDone("hero", 21_600.0),)


def test_a_video_of_which_an_attempt_was_not_measured_tells_no_energy():
    for before in (whole(1.0, None, 3.0), whole(1.0, 2.0, measured=False)):
        assert measured(before, steps.publish(before, 40.0, "cat-1")) == (VideoDone("hero", None),)


def test_a_refusal_is_told_with_its_key_whether_the_job_is_new_or_not():
    before = make()
    assert measured(before, steps.reject(before, 2.0, WHY)) == (JobRejected("picture-broken"),)
    assert measured(None, make(State.REJECTED, reason=WHY)) == (JobRejected("picture-broken"),)


def test_nothing_is_measured_of_a_new_job():
    assert measured(None, make()) == ()


STEPS = {
    "submit": lambda j, t: steps.submit(j, t, "e0"),
    "start": steps.start,
    "measure": lambda j, t: steps.measure(j, t, usage(1.0)),
    "finish": lambda j, t: steps.finish_stage(j, t, FILES),
    "again": lambda j, t: steps.try_again(j, t, OOM, (*j.stage.fallbacks, f"rung-{t:g}")),
    "hold": lambda j, t: steps.hold(j, t, WHY, t + 60),
    "publish": lambda j, t: steps.publish(j, t, "cat-1"),
    "fail": lambda j, t: steps.fail(j, t, WHY, OOM),
    "reject": lambda j, t: steps.reject(j, t, WHY),
    "approve": steps.approve,
    "cancel": steps.cancel,
    "retry": steps.retry,
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=40))
def test_everything_is_told_once_on_every_way_through_the_states(names):
    job = make()
    told = []
    climbs = 0
    for now, name in enumerate(names, start=2):
        try:
            after = STEPS[name](job, float(now))
        except (IllegalTransition, AttributeError):
            continue
        climbs += name == "again" and job.attempt is not None
        told += measured(job, after)
        assert measured(after, after) == ()
        job = after
    done = [each.stage for each in told if isinstance(each, StageDone)]
    assert done == [stage.name for stage in job.stages if stage.state is Progress.DONE]
    assert sum(isinstance(each, FallbackUsed) for each in told) == climbs
    assert sum(isinstance(each, VideoDone) for each in told) == (job.state is State.DONE)
    assert sum(isinstance(each, JobRejected) for each in told) == (job.state is State.REJECTED)
