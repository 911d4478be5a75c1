"""The real service as a process, in the trouble that hosts make."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.fakes.precious import ID, make_precious, snapshot
from tests.fakes.running import draw, known_jobs, readiness, states, until, videos
from tests.fakes.service import EngineProcess, ServiceProcess, free_port


def test_an_engine_that_comes_late_and_goes_again_fails_nobody(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.1")
    service = ServiceProcess(tmp_path, engine.url)
    service.start()
    try:
        draw(service.inbox / "cat.png")
        until(lambda: states(service) == ["queued"], "the job to queue")
        code, told = until(lambda: (r := readiness(service))[0] == 503 and r, "the trouble")
        assert "does not respond" in told
        engine.start()
        until(lambda: states(service) == ["running"], "the job to run")
        engine.process.kill()
        engine.process.wait()
        engine.start()
        videos(service)
        code, _ = until(lambda: (r := readiness(service))[0] == 200 and r, "readiness")
        assert code == 200
    finally:
        service.stop()
        engine.stop()


@pytest.mark.parametrize("trouble", ["damaged", "newer"])
def test_a_ledger_that_cannot_be_used_is_told_and_taken_up_once_mended(
    service, trouble, monkeypatch
):
    service.start()
    draw(service.inbox / "cat.png")
    videos(service)
    service.stop()
    ledger = service.state / "ledger.db"
    sound = ledger.read_bytes()
    if trouble == "damaged":
        ledger.write_bytes(b"\0" * 100 + sound[100:])
    else:
        with sqlite3.connect(ledger) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    broken = ledger.read_bytes()
    service.start()
    words = "damaged" if trouble == "damaged" else "newer zoetrope"
    until(lambda: words in readiness(service)[1], "the trouble to be told")
    assert readiness(service)[0] == 503
    draw(service.inbox / "dog.png", 50)
    time.sleep(0.5)
    assert (service.inbox / "dog.png").exists()
    assert ledger.read_bytes() == broken
    mended = service.state / "mended"
    mended.write_bytes(sound)
    mended.replace(ledger)  # in one step: the service may look at any moment
    videos(service, 2)


def test_a_start_without_a_usable_outbox_serves_says_so_and_goes_on_when_it_is_back(
    service, tmp_path
):
    service.start()
    (service.inbox / "ticket.toml").write_text("review = true")
    draw(service.inbox / "cat.png")
    until(lambda: states(service) == ["review"], "the review")
    service.stop()
    shutil.rmtree(service.outbox / "review")
    service.outbox.rename(tmp_path / "away")
    service.outbox.write_text("no folder")
    service.start()
    (job,) = service.get("/api/v1/jobs")["jobs"]
    until(lambda: f"Job {job['id'][:8]} waits" in readiness(service)[1], "the wait to be told")
    service.post(f"/api/v1/jobs/{job['id']}/approve")
    until(lambda: _waits(service), "the finished video to wait")
    assert "waits" in service.get("/api/v1/status")["summary"]
    draw(service.inbox / "dog.png", 50)
    until(lambda: len(states(service)) == 2, "the next picture to be taken")
    service.outbox.unlink()
    (tmp_path / "away").rename(service.outbox)
    videos(service)
    until(lambda: "review" in states(service), "the next review")


def _waits(service: ServiceProcess) -> bool:
    jobs = service.get("/api/v1/jobs")["jobs"]
    return any(
        job["state"] == "running" and job.get("reason") and "outbox" in job["reason"]["sentence"]
        for job in jobs
    )


def test_an_inbox_that_is_removed_and_comes_back_is_watched_again(service, tmp_path):
    service.start()
    until(lambda: readiness(service)[0] == 200, "readiness")
    service.inbox.rename(tmp_path / "away")
    _, told = until(lambda: (r := readiness(service))[0] == 503 and r, "the trouble to be told")
    assert str(service.inbox) in told
    (tmp_path / "away").rename(service.inbox)
    draw(service.inbox / "cat.png")
    videos(service)


def test_an_inbox_on_another_mount_works_the_same(tmp_path, engine):
    shared = Path("/dev/shm")  # a second file system that every Linux has
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    away = shared / f"zoetrope-test-{os.getpid()}-{free_port()}"
    away.mkdir()
    try:
        service = ServiceProcess(tmp_path, engine.url)
        service.config.write_text(
            service.config.read_text().replace(str(tmp_path / "inbox"), str(away))
        )
        service.start()
        draw(away / "cat.png")
        videos(service)
        service.stop()
    finally:
        shutil.rmtree(away)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int):
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (not root, or no mounts allowed)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_pauses_and_goes_on_by_itself(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    with small_disk(service.state, 12):
        service.start()
        until(lambda: readiness(service)[0] == 200, "readiness")
        draw(service.inbox / "first.png")
        videos(service)
        ballast = service.state / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"\0" * 65536)
        draw(service.inbox / "second.png", 50)
        until(
            lambda: (r := readiness(service))[0] == 503 and "are free" in r[1],
            "the trouble to be told",
        )
        ballast.unlink()
        videos(service, 2)
        assert states(service) == ["done", "done"]
        service.stop()
    assert "Traceback" not in service.log.read_text()


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_read_only_inbox_is_told_and_nothing_is_lost(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    with small_disk(service.inbox, 4):
        draw(service.inbox / "cat.png")
        remount(service.inbox, "ro")
        service.start()
        until(lambda: "inbox.claim" in readiness(service)[1], "the trouble to be told")
        assert readiness(service)[0] == 503
        assert (service.inbox / "cat.png").exists()
        remount(service.inbox, "rw")
        videos(service)
        service.stop()
    assert "Traceback" not in service.log.read_text()


def test_a_read_only_inbox_serves_when_its_files_are_copied(tmp_path, engine):
    service = ServiceProcess(tmp_path, engine.url)
    text = service.config.read_text()
    service.config.write_text(text.replace("[inbox]", '[inbox]\nclaim = "copy"', 1))
    with small_disk(service.inbox, 4):
        draw(service.inbox / "cat.png")
        remount(service.inbox, "ro")
        service.start()
        videos(service)
        service.stop()
        # Pictures are taken in the order of arrival: once this one is made, the first was looked at again.
        remount(service.inbox, "rw")
        draw(service.inbox / "dog.png", 50)
        remount(service.inbox, "ro")
        service.start()
        videos(service, 2)
        assert states(service) == ["done", "done"]
        service.stop()
        assert (service.inbox / "cat.png").exists()


@pytest.mark.parametrize("target", ["state", "precious"])
def test_links_from_the_share_lead_nowhere_at_the_start_and_afterwards(service, tmp_path, target):
    service.start()
    draw(service.inbox / "first.png")
    videos(service)
    service.stop()
    precious = make_precious(tmp_path / "precious")
    before = snapshot(precious)
    rows = known_jobs(service)
    led_to = tmp_path / target
    for place in (
        *("inbox/.zoetrope/state", f"inbox/.zoetrope/{ID}", "inbox/plain/.zoetrope", "inbox/link"),
        *("inbox/rejected/bad.png.why.txt", "outbox/review", "outbox/rejected"),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(led_to)
    service.start()
    draw(service.inbox / "second.png", 9)
    (service.inbox / "bad.png").write_text("hello")
    videos(service, 2)
    until((service.inbox / "rejected" / "bad.png").exists, "the rejected picture")
    assert service.stop() == 0
    assert snapshot(precious) == before
    assert rows < known_jobs(service)
