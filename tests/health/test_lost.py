from tests.fakes.lost import lose
from zoetrope.health.checks.lost import LostCheck


async def test_lost_work_is_counted_with_what_to_do(parts):
    check = LostCheck(parts)
    assert await check.look() is None
    lose(parts.settings)
    assert (await check.look()).found.startswith("The work of 1 job waits in ")
    lose(parts.settings)
    verdict = await check.look()
    assert (verdict.name, verdict.level) == ("lost", "degraded")
    assert verdict.found.startswith("The work of 2 jobs waits in ")
    assert "zoetrope recover" in verdict.next_step
    parts.readmission = None
    assert await check.look() is None
