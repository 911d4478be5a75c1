"""The endurance run's own parts: seeds, time, sums, and the page of promises."""

import sys
from pathlib import Path

import msgspec
import pytest
import tomli
from msgspec import to_builtins

from tests.endurance import promises, record
from tests.endurance.__main__ import end, run_part, start
from tests.endurance.paper import PaperEngine
from tests.endurance.part import BrokenPromise, Part, Report, UnfitMachineError
from tests.endurance.plan import LANES, PARTS, Kind, Task, lanes, share_out
from tests.endurance.power import unfinished
from tests.endurance.record import Record, Run
from tests.fakes.running import until
from zoetrope.engine.protocol import Engine

RUN = Run(date="2026-01-02 03:04", commit="abc", seed=7, minutes=1.5, parts=["kills"])


def part(tmp_path, seconds=0.0) -> Part:
    return Part("kills", seed=3, root=tmp_path, seconds=seconds)


def test_counts_are_sums_and_figures_are_the_worst(tmp_path):
    one, other = part(tmp_path), part(tmp_path)
    one.counts["kills"], other.counts["kills"] = 5, 7
    one.points["clean-up"], other.points["a row"] = 1, 2
    one.measure("slope", 2.0, "KB", limit=3.0)
    other.measure("slope", 1.0, "KB", limit=3.0)
    whole = Record().plus(RUN, [one.report()]).plus(RUN, [other.report()])
    sums = whole.parts["kills"]
    assert (sums.runs, sums.counts["kills"]) == (2, 12)
    assert sums.points == {"a row": 2, "clean-up": 1}
    assert (sums.figures["slope"].worst, sums.figures["slope"].last) == (2.0, 1.0)
    assert tomli.loads(record.dumped(to_builtins(whole))) == to_builtins(whole)
    record.write(whole, tmp_path / "record.toml")
    assert record.read(tmp_path / "record.toml") == whole
    assert "2026-01-02 03:04" in promises.rendered(whole)


def test_what_a_broken_part_counted_is_not_added(tmp_path):
    broken = part(tmp_path)
    broken.counts["kills"] = 5
    try:
        broken.promise(False, "a picture is lost")
    except BrokenPromise as error:
        report = broken.report(error)
    assert "a picture is lost" in report.broken
    assert report.kept == str(tmp_path)
    assert Record().plus(RUN, [report]).parts == {}


def test_a_part_that_cannot_run_here_says_so_in_one_sentence(tmp_path, monkeypatch, capfd):
    def unfit(_: Part) -> None:
        raise UnfitMachineError("This part cannot run: nothing here notes a read.")

    monkeypatch.setitem(PARTS, "kills", Kind(run=unfit, weight=1))
    assert run_part("kills", 3, 0.0, tmp_path) == 1
    said = capfd.readouterr()
    assert "s] This part cannot run: nothing here notes a read.\n" in said.out
    assert said.err == ""
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report)
    assert not report.broken
    assert Record().plus(RUN, [report]).parts == {}


def test_what_a_part_started_ends_with_it(tmp_path, monkeypatch):
    stuck = tmp_path / "stuck"
    stuck.write_text(f'#!/bin/sh\nsleep 600 &\necho $! > "{tmp_path}/child"\nwait\n')
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    one = start(Task(name="kills", seconds=0.0, seed=3), tmp_path)
    child = tmp_path / "child"
    until(lambda: child.exists() and child.read_text().endswith("\n"), "its child")
    end(one)
    until(lambda: not _runs(int(child.read_text())), "the end of its child")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"  # who takes note of its end may take a while


def test_a_figure_beyond_its_limit_breaks_a_promise(tmp_path):
    slow = part(tmp_path)
    slow.measure("recovery", 3.0, "s", limit=2.0)
    assert "recovery is 3 s" in slow.report().broken


def test_the_same_seed_gives_the_same_attack(tmp_path):
    assert part(tmp_path).random.random() == part(tmp_path).random.random()


def test_the_time_is_shared_out_and_used_up():
    groups = lanes(None, 600.0, 7)
    names = [task.name for group in groups for lane in group for task in lane]
    assert set(names) == set(PARTS) - {"soak"}
    assert len(groups[0]) == LANES
    assert sum(_mean(group) for group in groups) == pytest.approx(600.0, abs=1.0)
    alone = lanes(["kills"], 600.0, 7)
    assert [[task.seconds for task in lane] for lane in alone[0]] == [[600.0], [600.0]]


def test_a_part_that_needs_long_is_in_a_long_run_and_where_it_is_asked_for():
    assert [task.name for group in lanes(None, 7200.0, 7) for task in group[0]][-1] == "soak"
    assert [task.name for group in lanes(["soak"], 60.0, 7) for task in group[0]] == ["soak"]


def _mean(group):
    """Give the time of a lane, on the average of those side by side."""
    return sum(task.seconds for lane in group for task in lane) / len(group)


def test_parts_of_a_lane_share_what_the_ones_before_them_left():
    lane = [Task(name="chaos", seconds=60.0, seed=1), Task(name="full", seconds=30.0, seed=1)]
    assert share_out(lane, 90.0).seconds == 60.0
    assert share_out(lane, 45.0).seconds == 30.0
    assert share_out(lane[1:], 40.0).seconds == 40.0
    assert share_out(lane, -5.0).seconds == 12.0


def test_every_test_that_a_promise_names_is_there():
    assert promises.missing() == []


def test_the_page_of_promises_is_written_from_the_record():
    assert promises.PAGE.read_text() == promises.rendered(record.read())


def test_a_paper_engine_has_all_that_an_engine_has():
    asked = {name for name in dir(Engine) if not name.startswith("_")}
    assert len(asked) > 10
    assert asked <= set(dir(PaperEngine))


def test_what_a_power_cut_may_take_is_hidden(tmp_path):
    for name in (
        "state/jobs/a/.clip.part",
        "state/jobs/a/clip.mp4",
        "outbox/.x.part/b",
        "outbox/x/b",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = sorted(str(path.relative_to(tmp_path)) for path in unfinished(tmp_path))
    assert found == ["outbox/.x.part/b", "state/jobs/a/.clip.part"]
