import pytest

from tests.web.fakes import WorkerStatus
from zoetrope.health.checks.work import GRACE, WORRY, WorkCheck
from zoetrope.jobs.progress import Live

JOB = "1f3a9c2e" + "0" * 24


@pytest.fixture
def running(parts):
    """Have a stage run that has been silent for some time, of 180 seconds that it may be."""

    def make(silent, *, silence=180.0, up=True):
        parts.conductor.workers = [WorkerStatus(name="e0", up=up, in_hand=(JOB,))]
        parts.conductor.lives[JOB] = Live(
            stage="i2v", engine="e0", node="KSampler", fraction=0.42, moved=1000.0, silence=silence
        )
        return WorkCheck(parts, now=lambda: 1000.0 + silent)

    return make


async def test_a_stage_that_moves_is_ok_and_told(running):
    verdict = await running(5).look()
    assert (verdict.level, verdict.found) == ("ok", "e0 is at 42 % of i2v.")


async def test_a_stage_that_is_silent_for_long_is_degraded_before_it_is_given_up(running):
    assert (await running(180 * WORRY).look()).level == "ok"
    verdict = await running(150).look()
    assert verdict.level == "degraded"
    assert verdict.found == (
        "e0 answers, but job 1f3a9c2e has made no progress for 2 min in KSampler;"
        " in 30 s it is cancelled and retried."
    )
    assert "zoetrope cancel 1f3a9c2e" in verdict.next_step


async def test_a_stage_that_nobody_takes_back_is_failing(running):
    assert (await running(180 + GRACE).look()).level == "degraded"
    verdict = await running(180 + GRACE + 1).look()
    assert verdict.level == "failing"
    assert "Restart" in verdict.next_step


async def test_what_is_only_being_checked_here_may_take_its_time(running):
    assert await running(10_000, silence=0.0).look() is None


async def test_an_engine_that_is_down_is_another_checks_matter(running):
    assert await running(10_000, up=False).look() is None


async def test_where_nothing_runs_there_is_nothing_to_say(parts):
    assert await WorkCheck(parts).look() is None
    parts.conductor = None
    assert await WorkCheck(parts).look() is None
