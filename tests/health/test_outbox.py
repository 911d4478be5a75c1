from zoetrope.errors import Reason
from zoetrope.health.checks.outbox import OutboxCheck


async def test_an_outbox_that_takes_no_videos_is_failing_and_says_what_to_do(parts):
    check = OutboxCheck(parts)
    assert (await check.look()).level == "ok"
    parts.conductor.outbox = Reason("outbox-away", "The outbox is not mounted.", "Mount it.")
    verdict = await check.look()
    assert (verdict.level, verdict.next_step) == ("failing", "Mount it.")
    assert verdict.found == "Finished videos wait: The outbox is not mounted."
    parts.conductor = None
    assert await check.look() is None
