"""Reading the settings again: what changes, what waits for a restart, and that nothing is lost."""

import json
import socket
import time
import urllib.request

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.running import draw, states, until, videos
from tests.fakes.service import EngineProcess
from zoetrope.reload import FIXED, reload
from zoetrope.settings import Settings, parse

BASE = Settings()


def toml(text: str) -> Settings:
    return parse(text, "test.toml")


def test_equal_settings_change_nothing():
    outcome = reload(BASE, toml(""))
    assert (outcome.settings, outcome.changed, outcome.after_restart) == (BASE, (), ())
    assert str(outcome) == "settings reloaded; nothing changes now"


def test_a_changed_key_counts_at_once():
    outcome = reload(BASE, toml("[inbox]\nsettle_seconds = 9\n[jobs]\nreview = false"))
    assert outcome.changed == ("inbox.settle_seconds", "jobs.review")
    assert outcome.settings.inbox.settle_seconds == 9
    assert str(outcome).endswith("changed: inbox.settle_seconds, jobs.review")


def test_what_the_process_holds_on_to_is_kept_and_said():
    new = toml('web.listen = "127.0.0.1:9999"\nweb.max_upload_megabytes = 1\nstate.path = "/other"')
    outcome = reload(BASE, new)
    assert outcome.settings.web.listen == BASE.web.listen
    assert outcome.settings.web.max_upload_megabytes == 1
    assert outcome.settings.state.path == BASE.state.path
    assert outcome.changed == ("web.max_upload_megabytes",)
    assert str(outcome).endswith("needs a restart: state.path, web.listen")


def test_engines_are_compared_as_a_whole():
    outcome = reload(BASE, toml('engines = [ { name = "simulated", url = "simulated:" } ]'))
    assert outcome.changed == ("engines",)


@given(
    st.sampled_from([0.5, 3.0, 7.0]),
    st.sampled_from(["127.0.0.1:8190", "127.0.0.1:9999"]),
    st.sampled_from(["/srv/zoetrope/outbox", "/srv/other"]),
)
def test_a_reload_settles_at_once_and_fixed_keys_never_move(settle, listen, outbox):
    new = toml(
        f'inbox.settle_seconds = {settle}\nweb.listen = "{listen}"\noutbox.path = "{outbox}"'
    )
    outcome = reload(BASE, new)
    for key in FIXED:
        table, _, name = key.partition(".")
        section = getattr(outcome.settings, table)
        assert getattr(section, name) == getattr(getattr(BASE, table), name)
    assert reload(outcome.settings, new).changed == ()
    assert set(outcome.changed) & set(FIXED) == set()
    assert outcome.settings.inbox == msgspec.structs.replace(BASE.inbox, settle_seconds=settle)


@pytest.fixture
def engine(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.2")
    engine.start()
    yield engine
    engine.stop()


def said(service, words: str):
    until(lambda: words in service.log.read_text(), words)


def test_a_reload_in_mid_stage_keeps_the_process_and_the_prompt(service, engine):
    service.start()
    pid = service.process.pid
    draw(service.inbox / "cat.png")
    until(lambda: states(service) == ["running"], "the job to run")
    service.reload("settle_seconds = 0.2", "settle_seconds = 0.3")
    said(service, "changed: inbox.settle_seconds")
    videos(service)
    draw(service.inbox / "dog.png", colour=40)
    videos(service, 2)
    assert service.process.pid == pid
    assert service.process.poll() is None
    with urllib.request.urlopen(f"{engine.url}/history") as answer:
        prompts = json.load(answer)
    stages = sum(len(job["stages"]) for job in service.get("/api/v1/jobs")["jobs"])
    assert len(prompts) == stages == 4


def test_the_metrics_go_on_counting_through_a_reload(service):
    service.start()

    def told(line: str) -> bool:
        with urllib.request.urlopen(f"{service.url}/metrics", timeout=60) as answer:
            return line in answer.read().decode().splitlines()

    draw(service.inbox / "cat.png")
    until(lambda: told('zoetrope_jobs{recipe="tiny",state="done"} 1.0'), "the first video")
    service.reload("settle_seconds = 0.2", "settle_seconds = 0.3")
    said(service, "changed: inbox.settle_seconds")
    draw(service.inbox / "dog.png", colour=40)
    until(lambda: told('zoetrope_jobs{recipe="tiny",state="done"} 2.0'), "the second video")
    for stage in ("i2v", "upscale"):
        assert told(f'zoetrope_stage_seconds_count{{recipe="tiny",stage="{stage}"}} 2.0')
    assert told('zoetrope_engine_up{engine="e0"} 1.0')
    assert told("zoetrope_oldest_waiting_job_seconds 0.0")


def test_a_mistake_is_said_and_the_old_settings_stay(service):
    service.start()
    service.reload("settle_seconds = 0.2", "setle_seconds = 0.3")
    said(service, "settings not reloaded")
    assert "did you mean `settle_seconds`?" in service.log.read_text()
    draw(service.inbox / "cat.png")
    videos(service)


def test_what_waits_for_a_restart_is_named_and_the_page_stays(service):
    service.start()
    service.reload(f"127.0.0.1:{service.port}", "127.0.0.1:1")
    said(service, "needs a restart: web.listen")
    assert service.get("/api/v1/jobs")["jobs"] == []


def test_systemd_is_told_when_a_reload_begins_and_when_it_is_over(service, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        named = str(tmp_path / "n")
        unix.bind(named)
        unix.settimeout(60)

        def hear(line: str) -> list[str]:
            while True:
                lines = unix.recv(4096).decode().split("\n")
                if line in lines:
                    return lines

        service.start(NOTIFY_SOCKET=named)
        hear("READY=1")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        service.reload("rescan_seconds = 2", "rescan_seconds = 3")
        lines = hear("RELOADING=1")
        (stamp,) = [line for line in lines if line.startswith("MONOTONIC_USEC=")]
        assert int(stamp.partition("=")[2]) >= before
        hear("READY=1")
