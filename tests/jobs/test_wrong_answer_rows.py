"""Wrong answers end an attempt only after so many, one after the other, and after so long."""

import pytest

from tests.fakes.ledger import make
from zoetrope.domain.values import Failure
from zoetrope.engine.comfyui.answer import failing
from zoetrope.jobs.wrong_answers import MOST, QUIET, SECONDS, WrongAnswers
from zoetrope.store.memory import MemoryLedger

ERROR = failing(500, "the submission")


@pytest.fixture
async def row():
    class Row:
        now = 0.0

    ledger, row = MemoryLedger(), Row()
    row.job = make()
    await ledger.add(row.job, claim="")
    row.answers = WrongAnswers(ledger, row.job.id, "e0", lambda: 1.0, lambda: row.now)
    row.ledger = ledger
    return row


async def test_many_within_a_moment_fail_nothing_and_neither_do_few_within_a_day(row):
    assert [await row.answers.another(ERROR) for _ in range(5 * MOST)] == [None] * 5 * MOST
    await row.answers.over()
    for _ in range(MOST):
        row.now += SECONDS
        assert await row.answers.another(ERROR) is None


async def test_many_for_a_long_time_fail_the_attempt(row):
    for _ in range(MOST):
        await row.answers.another(ERROR)
    row.now = SECONDS
    failure = await row.answers.another(ERROR)
    assert failure == Failure(kind="engine-error", message=ERROR.reason.sentence)


async def test_the_job_says_what_it_waits_for_until_it_goes_on(row):
    for _ in range(QUIET):
        await row.answers.another(ERROR)
    assert (await row.ledger.get(row.job.id)).reason is None, "one is not worth a line"
    await row.answers.another(ERROR)
    reason = (await row.ledger.get(row.job.id)).reason
    assert (reason.key, "500" in reason.sentence) == ("engine-wait", True)
    assert reason.next_step
    await row.answers.over()
    assert (await row.ledger.get(row.job.id)).reason is None
