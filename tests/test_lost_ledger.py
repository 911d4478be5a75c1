"""The real service as a process, whose ledger is lost, restored, and lost again."""

import json
import subprocess
import sys

from tests.fakes.running import draw, emptied, readiness, states, until, videos
from tests.fakes.service import ServiceProcess


def lose_ledger(service):
    for file in service.state.glob("ledger.db*"):
        file.rename(service.root / f"{file.name}.aside")


def recover(service, *args):
    command = [sys.executable, "-m", "zoetrope", "recover", *args, "--url", service.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_with_a_lost_ledger_no_picture_is_lost_and_each_becomes_one_video(tmp_path, engine):
    # First without an engine, so that the jobs stay in the queue.
    service = ServiceProcess(tmp_path, "http://127.0.0.1:9")
    service.start()
    try:
        for colour, name in enumerate(("cat", "dog")):
            draw(service.inbox / f"{name}.png", colour)
        until(lambda: states(service) == ["queued"] * 2, "the jobs to queue")
        service.kill()
        lose_ledger(service)
        service.start()
        _, told = until(
            lambda: (r := readiness(service)) and "lost+found" in r[1] and r, "the check"
        )
        assert "The work of 2 jobs waits" in told
        assert states(service) == []
        notes = service.get("/api/v1/lost")["lost"]
        assert sorted(note["pictures"][0]["name"] for note in notes) == ["cat.png", "dog.png"]
        service.reload('url = "http://127.0.0.1:9"', f'url = "{engine.url}"')
        until(lambda: service.get("/api/v1/engines")["engines"][0]["url"] == engine.url, "reload")
        done = until(lambda: (r := recover(service, "--all", "--json")).returncode == 0 and r, "it")
        assert len(json.loads(done.stdout)) == 2
        service.kill()
        service.start()
        videos(service, 2)
        assert recover(service).stdout == "No work waits in lost+found.\n"
        emptied(service.state / "work")
    finally:
        service.stop()
