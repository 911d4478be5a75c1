import json

import msgspec
import pytest

from zoetrope.errors import Reason
from zoetrope.gpu.faults import GpuError, NoGpu
from zoetrope.gpu.watch import Watch
from zoetrope.health import offline
from zoetrope.health.base import Report


def test_a_healthy_service_exits_with_0(service, run):
    result = run("health")
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["ok", "engine"],
        ["ok", "inbox"],
        ["ok", "outbox"],
        ["ok", "ledger"],
        ["ok", "disk"],
        ["ok", "queue"],
        ["ok", "clock"],
    ]


def test_a_failing_service_exits_with_1_and_says_what_to_do(service, run):
    service.parts.conductor.workers[0].up = False
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
    service.parts.conductor.workers[0].up = False
    result = run("health", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["level"] == "failing"


@pytest.fixture
def host(tmp_path):
    """Write the settings of a host whose service does not run, with further lines."""

    def write(extra=""):
        for name in ("inbox", "outbox", "state"):
            (tmp_path / name).mkdir(exist_ok=True)
        file = tmp_path / "zoetrope.toml"
        file.write_text(
            f"inbox.path = '{tmp_path}/inbox'\noutbox.path = '{tmp_path}/outbox'\n"
            f"state = {{ path = '{tmp_path}/state', min_free_megabytes = 0 }}\n{extra}"
        )
        return file

    return write


@pytest.fixture
def down(run, unused_tcp_port, monkeypatch):
    """Ask for the health where nobody answers."""
    monkeypatch.setattr(offline, "Watch", lambda: Watch(no_card))

    def ask(*args):
        return run("health", "--url", f"http://127.0.0.1:{unused_tcp_port}", *args)

    return ask


def no_card():
    raise NoGpu("No NVIDIA driver is loaded.")


def test_without_a_service_the_rest_is_looked_at_and_the_service_comes_first(down, host):
    result = down("--config", host())
    assert result.exit_code == 1
    assert [line.split()[:2] for line in result.stdout.splitlines() if "next:" not in line] == [
        ["failing", "service"],
        ["ok", "settings"],
        ["ok", "disk"],
    ]
    assert "No zoetrope service answers" in result.stdout
    assert "systemctl start zoetrope" in result.stdout


def test_without_a_service_a_missing_folder_models_and_reports_are_named(down, host, tmp_path):
    file = host(
        f"models.path = '{tmp_path}/models'\n"
        f"engines = [{{ name = 'e0', report = '{tmp_path}/e0.json' }}]\n"
    )
    (tmp_path / "outbox").rmdir()
    result = down("--config", file, "--json")
    report = json.loads(result.stdout)
    assert {check["name"]: check["level"] for check in report["checks"]} == {
        "service": "failing",
        "settings": "ok",
        "disk": "failing",
        "models": "degraded",
        "kernel": "degraded",
    }
    assert msgspec.json.decode(result.stdout, type=Report).level == "failing"


def test_settings_that_cannot_be_read_are_why_nothing_else_is_looked_at(down, host):
    result = down("--config", host("inbx = 1\n"), "--json")
    checks = json.loads(result.stdout)["checks"]
    assert [check["name"] for check in checks] == ["service", "settings"]
    assert "inbx" in checks[1]["found"]
    assert "serve --check" in checks[1]["next_step"]


def test_cards_are_looked_at_without_a_service(down, host, monkeypatch):
    def broken():
        raise GpuError("The driver does not answer.", "Restart the host.")

    monkeypatch.setattr(offline, "Watch", lambda: Watch(broken))
    result = down("--config", host())
    assert "failing   card     The driver does not answer." in result.stdout
    assert "next: Restart the host." in result.stdout


def test_another_hosts_silence_is_not_explained_by_this_hosts_disks(run):
    result = run("health", "--url", "http://zoetrope.invalid:8190")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "is unknown" in result.stderr
