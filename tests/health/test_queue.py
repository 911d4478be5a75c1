import pytest

from tests.web.fakes import WorkerStatus, make_job
from zoetrope.domain.job import State
from zoetrope.errors import Reason
from zoetrope.health.checks.queue import FORGOTTEN, PATIENCE, QueueCheck


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def test_a_queue_that_moves_is_ok_and_counted(parts):
    for state in (State.QUEUED, State.QUEUED, State.RUNNING, State.REVIEW):
        job = make_job(state)
        await parts.ledger.add(job, claim=job.id)
    verdict = await QueueCheck(parts).look()
    assert verdict.level == "ok"
    assert verdict.found == "1 running, 2 queued, 1 to review."


async def test_a_paused_queue_is_degraded_with_what_to_do(parts):
    parts.conductor.paused = Reason("disk-full", "The disk is full.", "Free some space.")
    verdict = await QueueCheck(parts).look()
    assert verdict.level == "degraded"
    assert (verdict.found, verdict.next_step) == ("Paused: The disk is full.", "Free some space.")


async def test_a_users_pause_is_no_complaint_until_it_was_forgotten(parts):
    await parts.ledger.add(make_job(), claim="1")
    parts.conductor.workers = [WorkerStatus()]
    await parts.conductor.pause()
    clock, now = Clock(), Clock()
    now.now = parts.conductor.standstill.since + 7200
    check = QueueCheck(parts, now=now, clock=clock)
    for clock.now in (0.0, PATIENCE + 1):
        verdict = await check.look()
        assert verdict.level == "ok", "an engine is idle, as it is to be"
    assert verdict.found == (
        "Paused by a user: no stage starts (for 2 h). 0 running, 1 queued, 0 to review."
    )
    now.now += FORGOTTEN
    verdict = await check.look()
    assert (verdict.level, "zoetrope resume" in verdict.next_step) == ("degraded", True)
    await parts.conductor.pause(10 * FORGOTTEN)
    assert (await check.look()).level == "ok", "it has an end"


async def test_jobs_that_the_host_keeps_are_told_with_what_to_do(parts):
    reason = Reason("unwritable", "The outbox cannot be written.", "Let the service write there.")
    parts.conductor.waiting = {"0123456789": reason, "abcdef": reason, "fedcba": reason}
    verdict = await QueueCheck(parts).look()
    assert verdict.level == "degraded"
    assert verdict.found == ("Job 01234567 waits: The outbox cannot be written. So do 2 more jobs.")
    assert verdict.next_step == "Let the service write there."


async def test_a_job_left_lying_beside_an_idle_engine_is_degraded(parts, clock):
    job = await parts.ledger.add(make_job(), claim="1")
    check = QueueCheck(parts, clock=clock)
    assert (await check.look()).level == "ok"
    clock.now = PATIENCE + 1
    verdict = await check.look()
    assert verdict.level == "degraded"
    assert job.short in verdict.found
    assert "Restart" in verdict.next_step


async def test_a_job_waiting_for_a_busy_engine_is_no_complaint(parts, clock):
    await parts.ledger.add(make_job(), claim="1")
    parts.conductor.workers = [WorkerStatus(in_hand=("other",))]
    check = QueueCheck(parts, clock=clock)
    await check.look()
    clock.now = 10 * PATIENCE
    assert (await check.look()).level == "ok"


async def test_another_job_at_the_head_means_that_the_queue_moves(parts, clock):
    first = await parts.ledger.add(make_job(), claim="1")
    await parts.ledger.add(make_job(), claim="2")
    check = QueueCheck(parts, clock=clock)
    await check.look()
    await parts.conductor.cancel(first.id)
    clock.now = PATIENCE + 1
    assert (await check.look()).level == "ok"


async def test_without_a_ledger_nothing_can_move(parts):
    parts.conductor = None
    verdict = await QueueCheck(parts).look()
    assert verdict.level == "degraded"
    assert verdict.next_step


async def test_what_failed_or_was_rejected_of_late_is_counted_and_is_no_complaint(parts, clock):
    clock.now = 1_700_100_000.0
    for state, age in ((State.FAILED, 60), (State.REJECTED, 60), (State.FAILED, 90_000)):
        job = make_job(state, updated=clock.now - age)
        await parts.ledger.add(job, claim=job.id)
    verdict = await QueueCheck(parts, now=clock).look()
    assert verdict.level == "ok"
    assert verdict.found == (
        "0 running, 0 queued, 0 to review. In the last 24 hours 1 failed, 1 rejected"
        " (zoetrope jobs --state failed --state rejected)."
    )


async def test_a_failure_is_counted_however_many_were_rejected_after_its_arrival(parts, clock):
    clock.now = 1_700_100_000.0
    jobs = [make_job(State.FAILED, updated=clock.now - 60)]
    jobs += [make_job(State.REJECTED, updated=clock.now - 90_000) for _ in range(100)]
    jobs += [make_job(State.REJECTED, updated=clock.now - 60) for _ in range(101)]
    for job in jobs:
        await parts.ledger.add(job, claim=job.id)
    verdict = await QueueCheck(parts, now=clock).look()
    assert "In the last 24 hours 1 failed, 101 rejected (" in verdict.found
