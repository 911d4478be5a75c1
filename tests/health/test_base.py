import asyncio

from zoetrope.errors import LedgerError
from zoetrope.health.base import CheckResult, Health, ago, worst


class Look:
    """A check that does what it is told."""

    def __init__(self, name, level="ok", error=None, hangs=False):
        self.name = name
        self.level = level
        self.error = error
        self.hangs = hangs
        self.looks = 0

    async def look(self):
        self.looks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return CheckResult(name=self.name, level=self.level, found="x")


async def test_the_worst_verdict_is_the_reports():
    report = await Health([Look("a"), Look("b", "failing"), Look("c", "degraded")]).report()
    assert report.level == "failing"
    assert [verdict.name for verdict in report.checks] == ["a", "b", "c"]


def test_no_verdict_at_all_is_no_complaint():
    assert worst([]) == "ok"


async def test_a_check_that_hangs_does_not_hold_up_the_others():
    report = await Health([Look("a", hangs=True), Look("b")], patience=0.01).report()
    assert [verdict.level for verdict in report.checks] == ["failing", "ok"]
    assert report.checks[0].next_step


async def test_a_known_error_is_told_with_its_next_step():
    report = await Health([Look("a", error=LedgerError("It is torn.", "Mend it."))]).report()
    assert (report.checks[0].found, report.checks[0].next_step) == ("It is torn.", "Mend it.")


async def test_a_broken_check_is_a_failing_verdict():
    report = await Health([Look("a", error=KeyError("x")), Look("b")]).report()
    assert report.level == "failing"
    assert "KeyError" in report.checks[0].found
    assert report.checks[0].next_step


async def test_many_askers_at_once_cause_one_look_and_it_is_kept_for_a_moment():
    now = 0.0
    look = Look("a")
    health = Health([look], keep=2.0, clock=lambda: now)
    await asyncio.gather(*(health.report() for _ in range(10)))
    assert look.looks == 1
    now = 2.0
    await health.report()
    assert look.looks == 2


def test_spans_are_said_in_the_unit_that_fits():
    assert [ago(s) for s in (-1, 5, 90, 7200, 200_000)] == ["0 s", "5 s", "2 min", "2 h", "2 d"]
