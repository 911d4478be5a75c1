import time

import pytest

from tests.web.fakes import make_job
from zoetrope.errors import LedgerError
from zoetrope.health.checks.clock import AHEAD, EARLIEST, STEP, TOLD, ClockCheck, uptime

NOON = 1_800_000_000.0


class Host:
    """A host with a clock that can be set, and an uptime that cannot."""

    def __init__(self, parts, now=NOON):
        self.now = now
        self.up = 500.0
        self.check = ClockCheck(parts, now=lambda: self.now, uptime=lambda: self.up)

    def goes_on(self, seconds, *, wall=None):
        self.up += seconds
        self.now += seconds if wall is None else wall
        return self.check.look()


@pytest.fixture
def host(parts):
    return Host(parts)


async def test_a_clock_that_goes_evenly_is_ok(host):
    assert (await host.goes_on(0)).level == "ok"
    assert (await host.goes_on(86_400)).level == "ok"
    assert (await host.goes_on(86_400, wall=86_400 + STEP / 2)).level == "ok"


@pytest.mark.parametrize(
    ("wall", "told"),
    [(7200 + 10, "jumped forward by 2 h"), (-7200 + 10, "jumped back by 2 h")],
)
async def test_a_jump_is_told_for_a_while_and_then_lived_with(host, wall, told):
    verdict = await host.goes_on(10, wall=wall)
    assert verdict.level == "degraded"
    assert told in verdict.found
    assert "timedatectl" in verdict.next_step
    assert told in (await host.goes_on(TOLD - 1)).found
    assert (await host.goes_on(2)).level == "ok"


async def test_a_clock_that_was_never_set_is_degraded(parts):
    verdict = await Host(parts, now=86_400.0).check.look()
    assert (verdict.level, verdict.found) == ("degraded", "The clock shows 1970-01-02.")
    assert (await Host(parts, now=EARLIEST).check.look()).level == "ok"


async def test_a_job_from_the_future_says_that_one_of_the_times_is_wrong(parts, host):
    await parts.ledger.add(make_job(created=NOON + AHEAD, updated=NOON), claim="1")
    assert (await host.check.look()).level == "ok"
    await parts.ledger.add(make_job(created=NOON, updated=NOON + 7200), claim="2")
    verdict = await host.check.look()
    assert verdict.level == "degraded"
    assert "2 h in the future" in verdict.found


async def test_a_ledger_that_cannot_be_asked_is_another_checks_matter(parts, host, monkeypatch):
    async def fail(question):
        raise LedgerError("The ledger cannot be used.")

    monkeypatch.setattr(parts.ledger, "page", fail)
    assert (await host.check.look()).level == "ok"
    parts.ledger = None
    assert (await host.check.look()).level == "ok"


def test_the_uptime_counts_the_hours_in_which_the_host_slept():
    assert uptime() >= time.monotonic() - 1
