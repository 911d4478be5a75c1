import asyncio

from zoetrope.errors import Reason
from zoetrope.health.checks.ledger import EVERY, LedgerCheck


class SlowLedger:
    """A ledger whose answers are decided by the test."""

    def __init__(self, took=0.001, damage=None):
        self.took = took
        self.damage = damage
        self.checks = 0
        self.unreadable = {}
        self.put_back = None
        self.done = asyncio.Event()

    async def ping(self):
        return self.took

    async def check(self):
        self.checks += 1
        self.done.set()
        return self.damage


async def settle():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_ledger_that_can_be_written_is_ok(parts):
    check = LedgerCheck(parts)
    verdict = await check.look()
    assert verdict.level == "ok"
    assert "the file is being checked" in verdict.found
    await asyncio.gather(*(t for t in asyncio.all_tasks() if t.get_name() == "ledger quick_check"))
    assert "the last check passed" in (await check.look()).found


async def test_damage_found_in_the_file_is_failing_with_what_to_do(parts):
    parts.ledger, kept = SlowLedger(damage="row 3 missing from index"), parts.ledger
    check = LedgerCheck(parts)
    await check.look()
    await settle()
    verdict = await check.look()
    assert verdict.level == "failing"
    assert "row 3 missing" in verdict.found
    assert "keep a copy" in verdict.next_step
    parts.ledger = kept


async def test_rows_that_cannot_be_read_are_named_with_what_to_do(parts):
    parts.ledger, kept = SlowLedger(), parts.ledger
    parts.ledger.unreadable = {f"{number}" * 32: "Expected `str`" for number in range(5)}
    check = LedgerCheck(parts)
    verdict = await check.look()
    assert verdict.level == "degraded"
    assert "00000000, 11111111, 22222222 and 2 more" in verdict.found
    assert "Expected `str`" in verdict.found
    assert str(parts.settings.ledger_file) in verdict.next_step
    await settle()
    parts.ledger = kept


async def test_the_whole_file_is_read_once_an_hour_and_not_at_every_look(parts):
    parts.ledger = ledger = SlowLedger()
    now = 0.0
    check = LedgerCheck(parts, clock=lambda: now)
    for _ in range(5):
        await check.look()
        await settle()
    assert ledger.checks == 1
    now = EVERY
    assert "was sound 1 h ago" not in (await check.look()).found
    await settle()
    assert ledger.checks == 2
    now = EVERY + 120
    assert (await check.look()).found.endswith("the last check passed 2 min ago.")


async def test_a_slow_write_is_degraded(parts):
    parts.ledger = SlowLedger(took=2.5)
    verdict = await LedgerCheck(parts).look()
    assert verdict.level == "degraded"
    assert "2.5 s" in verdict.found
    assert verdict.next_step


async def test_a_ledger_that_could_not_be_opened_is_failing_with_its_reason(parts):
    parts.ledger = None
    parts.problem = Reason("ledger", "ledger.db is not a ledger.", "Restore a backup.")
    verdict = await LedgerCheck(parts).look()
    assert (verdict.level, verdict.found) == ("failing", "ledger.db is not a ledger.")
    assert verdict.next_step == "Restore a backup."


async def test_a_ledger_that_is_not_open_yet_asks_for_patience(parts):
    parts.ledger = None
    verdict = await LedgerCheck(parts).look()
    assert verdict.level == "failing"
    assert "journalctl" in verdict.next_step


async def test_a_file_that_was_deleted_and_put_back_is_degraded_with_what_to_look_for(parts):
    parts.ledger, kept = SlowLedger(), parts.ledger
    parts.ledger.put_back = Reason("ledger-put-back", "It was deleted.", "See what did that.")
    verdict = await LedgerCheck(parts).look()
    assert (verdict.level, verdict.found) == ("degraded", "It was deleted.")
    assert verdict.next_step == "See what did that."
    parts.ledger = kept
