"""The real service as a process: backed up while a job runs, restored after later ones, and nothing made twice."""

import os
import subprocess
import sys

from tests.fakes.running import draw, states, until, videos
from tests.fakes.service import EngineProcess, ServiceProcess


def command(*args):
    """Run the command line, as a person does."""
    line = [sys.executable, "-m", "zoetrope", *map(str, args)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ZOETROPE_")}
    return subprocess.run(line, capture_output=True, text=True, timeout=60, env=clean)


def test_a_backup_made_while_jobs_run_brings_them_back_and_no_video_is_made_twice(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.05")
    service = ServiceProcess(tmp_path, engine.url)
    file = tmp_path / "backup.tar"
    engine.start()
    service.start()
    try:
        draw(service.inbox / "first.png")
        videos(service)
        draw(service.inbox / "second.png", 9)
        until(lambda: "running" in states(service), "the second job to run")
        made = command("backup", file, "--url", service.url)
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith(f"{file}: 2 jobs, ")
        assert file.stat().st_mode & 0o777 == 0o600
        draw(service.inbox / "third.png", 20)
        videos(service, 3)
        refused = command("restore", file, "--config", service.config)
        assert refused.returncode == 1
        assert "systemctl stop zoetrope" in refused.stderr
        service.kill()
        before = service.done()
        done = command("restore", file, "--config", service.config)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Restored 2 jobs")
        service.start()
        # The backup says that the second job runs; its video is in the outbox.
        until(lambda: states(service) == ["done"] * 2, "both jobs to be done")
        draw(service.inbox / "fourth.png", 30)
        until(lambda: states(service) == ["done"] * 3, "the fourth video")
        assert len(service.done()) == 4
        assert set(before) < set(service.done())
        assert command("recover", "--url", service.url).stdout == "No work waits in lost+found.\n"
        service.stop()
        # Without a service, of the state folder itself.
        made = command("backup", file, "--url", service.url, "--config", service.config)
        assert made.stdout.startswith(f"{file}: 3 jobs, "), made.stderr
        assert "Traceback" not in service.log.read_text()
    finally:
        service.stop()
        engine.stop()
