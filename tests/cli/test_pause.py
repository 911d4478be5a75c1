import json
import time

import pytest

from zoetrope.dispatch.pause import standstill
from zoetrope.domain.hours import parse
from zoetrope.domain.job import State


def test_a_pause_says_what_goes_on_and_how_it_ends(service, run):
    service.add(State.RUNNING)
    result = run("pause")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Paused by a user: no stage starts. Resume on the page or with: zoetrope resume",
        "1 stage goes on to the end; `zoetrope pause --now` interrupts what runs.",
    ]
    assert run("status").stdout.splitlines()[1].startswith("Paused by a user: no stage starts;")
    assert not service.parts.conductor.interrupted
    assert run("resume").stdout == "Resumed. 1 running; engine comfyui is up\n"


def test_a_pause_may_interrupt_and_end_by_itself(service, run):
    found = json.loads(run("pause", "--now", "--for", "1h30m", "--json").stdout)["standstill"]
    assert found["until"] - time.time() == pytest.approx(5400, abs=60)
    assert service.parts.conductor.interrupted


def test_outside_the_hours_a_user_has_stages_run_now(service, run):
    conductor = service.parts.conductor
    conductor.standstill = standstill(None, parse("22:00-07:00"), 43_200.0, lambda _: 0.0)
    assert "Outside the working hours (22:00-07:00)" in run("resume").stdout
    assert run("resume", "--now").stdout.startswith("Resumed. Runs outside the working hours until")
    assert run("status").stdout.splitlines()[1].startswith("Runs outside the working hours until")


def test_what_is_queued_says_from_when_on_it_may_start(service, run):
    service.add(State.QUEUED)
    run("pause", "--for", "2h")
    until = time.localtime(service.parts.conductor.standstill.until)
    line = run("status").stdout.splitlines()[-1]
    assert line.endswith(f"i2v next, not before {time.strftime('%a %H:%M', until)}")
    run("pause")
    assert run("status").stdout.splitlines()[-1].endswith("i2v next"), "nobody knows until when"


@pytest.mark.parametrize("span", ["2", "h", "-1h", "1h 2x", "0m"])
def test_what_is_no_span_is_said(service, run, span):
    result = run("pause", f"--for={span}")
    assert result.exit_code in (1, 2)
    assert service.parts.conductor.standstill is None


def test_who_waits_for_a_video_is_told_why_nothing_starts(service, run, picture):
    service.drive_uploads()
    run("pause", "--for", "2h")
    result = run("submit", picture, "--sync")
    assert result.exit_code in (0, 1)
    assert "Paused by a user until" in result.stderr
