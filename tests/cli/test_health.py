import json

from zoetrope.errors import Reason


def test_a_healthy_service_exits_with_0(service, run):
    result = run("health")
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["ok", "engine"],
        ["ok", "inbox"],
        ["ok", "ledger"],
        ["ok", "disk"],
        ["ok", "queue"],
        ["ok", "clock"],
    ]


def test_a_failing_service_exits_with_1_and_says_what_to_do(service, run):
    service.parts.conductor.lanes[0].up = False
    result = run("health")
    assert result.exit_code == 1
    assert "failing" in result.stdout
    assert "next: Start it" in result.stdout


def test_a_degraded_service_exits_with_0(service, run):
    service.parts.conductor.paused = Reason("disk-full", "The disk is full.", "Free some.")
    result = run("health")
    assert result.exit_code == 0
    assert "next: Free some." in result.stdout


def test_the_verdicts_as_json(service, run):
    service.parts.conductor.lanes[0].up = False
    result = run("health", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["level"] == "failing"
