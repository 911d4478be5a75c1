"""`docs/promises.md`: what is promised, the test that shows it, and what all runs counted."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec

from tests.endurance import record
from tests.endurance.record import Record

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "promises.md"


class Count(msgspec.Struct, frozen=True):
    """A number of the record, and what it has to come to over the runs."""

    part: str
    name: str
    least: int = 0
    most: int | None = None
    points: bool = False  # the least of all points


class Measured(msgspec.Struct, frozen=True):
    """A figure of the record; its limit stands there."""

    part: str
    name: str


class Promise(msgspec.Struct, frozen=True):
    """One promise."""

    sentence: str
    tests: tuple[str, ...]
    shown: tuple[Count | Measured, ...] = ()


PROMISES: tuple[Promise, ...] = (
    Promise(
        "A picture that was accepted becomes exactly one video, wherever the service or the engine is killed.",
        (
            "tests/test_kill.py::test_killed_at_random_moments_it_makes_each_video_once",
            "tests/inbox/test_recovery.py::test_a_picture_with_a_ticket_is_queued_once",
            "tests/jobs/test_outbox.py::test_publishing_again_after_a_crash_changes_nothing",
            "tests/endurance/test_kills.py::test_a_service_dies_where_it_was_ordered_and_loses_nothing",
        ),
        (
            Count("kills", "kills", least=1000),
            Count("kills", "of each failpoint", least=20, points=True),
            Count("kills", "lost", most=0),
            Count("kills", "doubled", most=0),
        ),
    ),
    Promise(
        "Whatever people, engines, shares and clocks do in whatever order, none is lost, and none made twice unasked.",
        (
            "tests/endurance/test_machine.py::test_whatever_happens_in_whatever_order_every_promise_holds",
            "tests/jobs/test_job_metrics.py::test_everything_is_told_once_on_every_way_through_the_states",
        ),
        (
            Count("machine", "acts", least=10_000),
            Count("chaos", "kills", least=100),
            Count("chaos", "shares that vanish", least=30),
            Count("chaos", "clock jumps", least=50),
            Count("chaos", "no descriptors", least=30),
            Count("chaos", "no threads", least=15),
        ),
    ),
    Promise(
        "After a power cut everything goes on, with unfinished files empty or torn.",
        (
            "tests/jobs/test_outbox.py::test_what_a_crash_left_half_built_is_built_anew",
            "tests/endurance/test_frame.py::test_what_a_power_cut_may_take_is_hidden",
        ),
        (Count("power", "power cuts", least=200),),
    ),
    Promise(
        "A ledger of an earlier version opens, and a kill while it is lifted loses no job.",
        (
            "tests/store/test_killed_migration.py::test_killed_anywhere_on_the_way_nothing_is_lost",
            "tests/jobs/test_upgrade.py::test_jobs_of_an_earlier_version_are_there_and_go_on",
        ),
    ),
    Promise(
        "Retention removes a thing whole or not at all, and a clock that jumps removes nothing.",
        (
            "tests/jobs/test_keeper_trouble.py::test_killed_at_any_step_work_is_whole_or_gone",
            "tests/jobs/test_keep.py::test_a_clock_fifty_years_ahead_removes_nothing",
        ),
    ),
    Promise(
        "Trouble of the host fails no job: a full disk, a share that is gone, a folder that is closed.",
        (
            "tests/test_service_trouble.py::test_a_full_disk_pauses_and_goes_on_by_itself",
            "tests/test_service_trouble.py::test_a_read_only_inbox_is_told_and_nothing_is_lost",
            "tests/inbox/test_watcher.py::test_an_unmounted_share_is_not_an_empty_inbox",
            "tests/jobs/test_engine_disk.py::test_while_its_disk_is_full_jobs_wait_and_none_fails",
        ),
        (Count("full", "full disks", least=200),),
    ),
    Promise(
        "An engine that lies, hangs, forgets or is meddled with costs no picture, and fills no disk.",
        (
            "tests/jobs/test_engine_trouble.py::test_an_output_that_vanished_is_made_again",
            "tests/engine/comfyui/test_client.py::test_odd_names_are_vanished_outputs_and_no_way_out",
        ),
        (Count("modes", "of each of sixteen modes", least=3, points=True),),
    ),
    Promise(
        "Whatever the bytes, a decoder or parser gives a value, or rejects them with a reason.",
        (
            "tests/endurance/test_fuzz.py::test_whatever_the_bytes_a_parser_answers_or_refuses_with_a_reason",
            "tests/endurance/test_fuzz.py::test_whatever_the_bytes_a_picture_or_a_video_is_opened_or_refused",
            "tests/lint/test_robustness.py::test_any_document_is_survived_or_answered_with_a_sentence",
        ),
        (Count("fuzz", "inputs", least=1_000_000), Count("fuzz", "crashes", most=0)),
    ),
    Promise(
        "The service takes no more memory, descriptors or log the more jobs it has done.",
        (
            "tests/endurance/test_measures.py::test_the_slope_of_a_line_is_found_among_noise",
            "tests/endurance/test_holdings.py::test_nothing_in_memory_grows_with_the_jobs",
        ),
        (
            Count("soak", "processes that did 2,000 jobs", least=1),
            Measured("soak", "memory for each job"),
            Measured("soak", "log for each job"),
            Measured("soak", "descriptors more than at the beginning"),
        ),
    ),
    Promise(
        "After a kill with a long queue the service answers at once, and all of the queue is there.",
        (
            "tests/test_long_queue.py::test_after_a_kill_with_a_long_queue_all_of_it_is_there",
            "tests/jobs/test_taken_up.py::test_a_prompt_lost_with_its_engine_while_nobody_looked_is_tried_again",
        ),
        (Measured("recovery", "recovery with 10,000 queued"),),
    ),
    Promise(
        "Hostile connections without the token close the page to no user who has it, and none keep a job from becoming a video.",
        (
            "tests/web/test_strangers.py::test_what_has_no_end_and_no_token_closes_the_page_to_nobody_who_has_one",
            "tests/web/test_strangers.py::test_those_who_have_the_token_may_take_every_place_and_the_monitor_is_answered",
            "tests/test_crowd.py::test_silent_connections_keep_nobody_from_working",
            "tests/web/test_connections.py::test_nothing_is_left_of_many_who_came_at_once",
        ),
        (
            Count("crowd", "hostile connections", least=1000),
            Measured("crowd", "/healthz in a crowd, p99"),
        ),
    ),
    Promise(
        "No path below inbox and outbox is followed through a link, whenever a member puts one there.",
        (
            "tests/test_beneath.py::test_nothing_is_done_through_a_link",
            "tests/inbox/test_links.py::test_a_folder_that_becomes_a_link_at_any_step_leads_nowhere",
            "tests/jobs/test_outbox_links.py::test_a_folder_that_becomes_a_link_at_any_step_leads_nowhere",
            "tests/inbox/test_watcher.py::test_what_a_link_leads_to_is_neither_walked_nor_listened_to",
        ),
    ),
    Promise(
        "What members lay on the share costs no honest picture, and gets at nothing outside of it.",
        (
            "tests/endurance/test_share.py::test_whoever_reads_lists_or_changes_what_lies_outside_is_noticed",
            "tests/inbox/test_members.py::test_what_somebody_put_into_a_claim_is_no_half_of_it",
            "tests/inbox/test_members.py::test_a_member_who_exchanges_what_was_claimed_all_the_time_reaches_nothing",
        ),
        (
            Count("share", "hostile things on the share", least=2000),
            Count("share", "of each of twelve kinds", least=50, points=True),
            Count("share", "honest pictures among them", least=50),
        ),
    ),
    Promise(
        "A page of another origin, a wrong host or a missing token gets no further.",
        (
            "tests/web/test_guard.py::test_a_foreign_page_cannot_change_anything",
            "tests/web/test_guard.py::test_with_a_token_everything_but_healthz_needs_it",
        ),
    ),
    Promise(
        "One row that cannot be read blinds no list and stops no queue.",
        (
            "tests/store/test_unreadable_rows.py::test_one_row_blinds_no_list",
            "tests/store/test_unreadable_rows.py::test_the_queue_does_not_starve_behind_a_row",
        ),
    ),
    Promise(
        "A GPU is back at stock clocks after the helper was killed at any step.",
        (
            "tests/gpu/test_helper_killed.py::test_killed_at_a_step_of_an_apply",
            "tests/gpu/test_service.py::test_a_service_that_is_killed_leaves_the_card_at_stock",
        ),
    ),
)


def missing() -> list[str]:
    """Name the tests that the promises name and that do not exist."""
    return [
        name for promise in PROMISES for name in promise.tests if not _exists(*name.split("::", 1))
    ]


def rendered(known: Record) -> str:
    """Write the page."""
    lines = [
        "# Promises",
        "",
        "Written by `make endurance`, which attacks the service and adds what it counted to",
        "`tests/endurance/record.toml`. Counts are sums over all runs that broke no promise; a figure is the worst of them.",
        "",
    ]
    for promise in PROMISES:
        lines += [f"## {promise.sentence.rstrip('.')}", ""]
        if promise.shown:
            lines += ["| counted | so far | promised | |", "|---|---|---|---|"]
            lines += [_row(known, shown) for shown in promise.shown]
            lines += [""]
        lines += [f"- `{name}`" for name in promise.tests]
        lines += [""]
    lines += ["## Runs", "", "| when (UTC) | commit | seed | minutes | parts | broken |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {run.date} | {run.commit} | {run.seed} | {run.minutes:g} | {', '.join(run.parts)}"
        f" | {run.broken.replace('|', '/') or 'none'} |"
        for run in known.run
    ]
    return "\n".join(lines) + "\n"


def write(page: Path = PAGE) -> None:
    """Write the page anew from the record."""
    page.write_text(rendered(record.read()))


def _row(known: Record, shown: Count | Measured) -> str:
    sums = known.parts.get(shown.part, record.Sums())
    if isinstance(shown, Measured):
        figure = sums.figures.get(shown.name)
        if figure is None:
            return f"| {shown.name} | not measured yet | | |"
        met = "met" if figure.worst <= figure.limit else "missed"
        value = f"{figure.worst:.4g} {figure.unit}"
        return f"| {shown.name} | {value} | at most {figure.limit:g} {figure.unit} | {met} |"
    if shown.points:
        number = min(sums.points.values(), default=0)
    else:
        number = sums.counts.get(shown.name, 0)
    promised = f"at least {shown.least:,}" if shown.most is None else f"at most {shown.most:,}"
    enough = number >= shown.least if shown.most is None else number <= shown.most
    met = "met" if enough and sums.runs else "not yet" if shown.most is None else "no run yet"
    return f"| {shown.name} | {number:,} | {promised} | {met} |"


def _exists(file: str, name: str) -> bool:
    path = ROOT / file
    if not path.is_file():
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.name == name.partition("[")[0]
        for node in ast.walk(ast.parse(path.read_text()))
    )
