from tests.web.fakes import WatchStatus
from zoetrope.errors import Reason
from zoetrope.health.checks.inbox import InboxCheck, stale_after
from zoetrope.inbox.status import Held


def check(parts, **status):
    parts.watcher.status = WatchStatus(**{"last_scan": 1000.0, **status})
    return InboxCheck(parts, now=lambda: 1001.0).look()


async def test_a_watched_folder_is_ok(parts):
    verdict = await check(parts)
    assert verdict.level == "ok"
    assert verdict.found.endswith("is watched by events.")


async def test_polling_is_said(parts):
    assert (await check(parts, mode="poll")).found.endswith("is watched by polling.")


async def test_a_folder_that_cannot_be_watched_is_failing(parts):
    reason = Reason("inbox-missing", "The inbox is gone.", "Mount it.")
    verdict = await check(parts, mode="none", problem=reason)
    assert verdict.level == "failing"
    assert (verdict.found, verdict.next_step) == ("The inbox is gone.", "Mount it.")


async def test_a_problem_beside_which_pictures_are_still_taken_is_degraded(parts):
    reason = Reason("inbox-events", "No inotify watches are left.")
    verdict = await check(parts, mode="poll", problem=reason)
    assert verdict.level == "degraded"
    assert "ls -ld" in verdict.next_step


async def test_unreadable_files_are_named(parts):
    verdict = await check(parts, unreadable=("a.png", "b.png", "c.png", "d.png", "e.png"))
    assert verdict.level == "degraded"
    assert verdict.found == "Cannot be read: a.png, b.png, c.png and 2 more"
    assert "chmod g+r" in verdict.next_step


async def test_a_folder_that_was_not_looked_through_for_long_is_failing(parts):
    verdict = await check(parts, last_scan=1000.0 - stale_after(30.0))
    assert verdict.level == "failing"
    assert "2 min ago" in verdict.found
    assert "restart" in verdict.next_step


async def test_before_the_first_look_nothing_is_wrong(parts):
    assert (await check(parts, last_scan=None)).level == "ok"


async def test_without_a_watcher_pictures_stay_where_they_are(parts):
    parts.watcher = None
    verdict = await InboxCheck(parts).look()
    assert verdict.level == "failing"
    assert verdict.next_step


async def test_an_intake_that_takes_nothing_is_failing(parts):
    parts.intake.status.problem = Reason("disk-full", "The disk is full.", "Free some space.")
    verdict = await check(parts)
    assert verdict.level == "failing"
    assert verdict.found == "No pictures are taken: The disk is full."
    assert verdict.next_step == "Free some space."


async def test_pictures_that_wait_for_something_else_are_named(parts):
    reason = Reason("recipe", "The recipe tiny is broken.", "Mend the recipe.")
    parts.intake.status.held = (Held("a.png", reason), Held("b.png", reason))
    verdict = await check(parts)
    assert verdict.level == "degraded"
    assert verdict.found == "a.png waits: The recipe tiny is broken. (and 1 more wait)"
    assert verdict.next_step == "Mend the recipe."


async def test_what_one_user_left_unreadable_hides_nobody_elses_held_pictures(parts):
    closed = Reason("folder-closed", "The folder is closed.", "Open the folder.")
    broken = Reason("recipe", "The recipe tiny is broken.", "Mend the recipe.")
    parts.intake.status.held = (Held("a.png", closed), Held("b.png", closed), Held("c.png", broken))
    parts.intake.status.notice = Reason("inbox-not-sticky", "Whoever may write.", "chmod 3770 it")
    verdict = await check(parts, unreadable=("x/closed.png",))
    assert verdict.level == "degraded"
    assert verdict.found == (
        "a.png waits: The folder is closed. (and 1 more wait) c.png waits: The recipe tiny is broken."
        " Whoever may write. Cannot be read: x/closed.png"
    )
    for step in ("Open the folder.", "Mend the recipe.", "chmod 3770 it", "chmod g+r"):
        assert verdict.next_step.count(step) == 1


async def test_many_reasons_to_wait_are_counted_after_the_first_few(parts):
    reasons = [Reason(f"r{n}", f"Reason {n}.", f"Step {n}.") for n in range(5)]
    parts.intake.status.held = tuple(Held(f"{n}.png", reason) for n, reason in enumerate(reasons))
    verdict = await check(parts)
    assert "2.png waits: Reason 2." in verdict.found
    assert verdict.found.endswith("2 more wait for other reasons.")


async def test_folders_that_are_open_to_members_are_said_until_they_are_mended(parts):
    parts.intake.status.notice = Reason("inbox-not-sticky", "Whoever may write.", "chmod 3770 it")
    verdict = await check(parts)
    assert (verdict.level, verdict.found) == ("degraded", "Whoever may write.")
    assert verdict.next_step == "chmod 3770 it"
    parts.intake.mended = True
    assert (await check(parts)).level == "ok"


async def test_two_reasons_of_one_kind_are_both_named_with_their_next_steps(parts):
    tickets = [
        Reason("folder-ticket", f"The ticket of {who} is no TOML.", f"Fix {who}/ticket.toml.")
        for who in ("ann", "bob")
    ]
    parts.intake.status.held = tuple(
        Held(f"{n}.png", reason) for n, reason in enumerate([*tickets, tickets[1]])
    )
    verdict = await check(parts)
    assert verdict.found == (
        "0.png waits: The ticket of ann is no TOML."
        " 1.png waits: The ticket of bob is no TOML. (and 1 more wait)"
    )
    assert verdict.next_step == "Fix ann/ticket.toml. Fix bob/ticket.toml."
