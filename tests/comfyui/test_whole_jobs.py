"""Whole jobs, from the inbox to the outbox, on a real ComfyUI.

The server's tiny models answer to the real files' names (links beside them will do).
"""

import json
import subprocess
import time
import urllib.request

import av
import pytest

from tests.fakes.running import draw, until, videos
from tests.fakes.service import ServiceProcess

pytestmark = pytest.mark.engine


@pytest.fixture
def service(tmp_path, real_url):
    service = ServiceProcess(tmp_path, real_url)
    service.start()
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


def frames(video) -> tuple[int, int, int]:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), stream.width, stream.height


def test_pictures_become_videos(service):
    for n in range(4):
        draw(service.inbox / f"cat{n}.png", colour=n * 11 + time.time_ns() % 97)
        (service.inbox / f"cat{n}.toml").write_text(f"frames = {5 + 4 * (n % 2)}")
    for folder in videos(service, 4):
        receipt = json.loads((folder / "receipt.json").read_text())
        video = next(folder.glob("cat*.mp4"))
        assert frames(video) == (receipt["plan"]["frames"], 128, 128)
        attempts = [a for stage in receipt["stages"] for a in stage["attempts"]]
        assert len(attempts) == 2
        assert all(a["version"] for a in attempts)
        assert all(a.get("started") for a in attempts), "the socket told when it began"


def test_a_review_and_a_cancelled_job(service, real_url):
    draw(service.inbox / "cat.png", colour=time.time_ns() % 251)
    (service.inbox / "cat.toml").write_text("review = true\nseconds = 1")
    until(lambda: _states(service) == ["review"], "the review", 120)
    job = service.get("/api/v1/jobs")["jobs"][0]["id"]
    _order(service, job, "approve")
    videos(service)
    draw(service.inbox / "long.png", colour=time.time_ns() % 251)
    (service.inbox / "long.toml").write_text("frames = 81\nsteps = 100")
    until(lambda: "running" in _states(service), "the long job to run", 60)
    job = service.get("/api/v1/jobs?state=running")["jobs"][0]["id"]
    _order(service, job, "cancel")
    until(lambda: _queue(real_url) == 0, "the engine to be free again", 60)
    until(lambda: sorted(_states(service)) == ["cancelled", "done"], "the states")


def test_killed_while_the_engine_works_it_finds_its_prompt_again(service):
    draw(service.inbox / "cat.png", colour=time.time_ns() % 251)
    (service.inbox / "cat.toml").write_text("frames = 33\nsteps = 60")
    until(lambda: _states(service) == ["running"], "the job to run", 60)
    service.kill()
    service.start()
    videos(service)
    (job,) = service.get("/api/v1/jobs")["jobs"]
    assert [len(stage["attempts"]) for stage in job["stages"]] == [1, 1]


def test_the_command_line_waits_for_the_outcome(service, tmp_path):
    picture = draw(tmp_path / "from-cli.png", colour=time.time_ns() % 251)
    command = ["submit", str(picture), "--no-review", "--sync", "--url", service.url]
    done = subprocess.run(
        [*_zoetrope(), *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(service.done()) == 1


def _zoetrope() -> list[str]:
    import sys

    return [sys.executable, "-m", "zoetrope"]


def _states(service: ServiceProcess) -> list[str]:
    return [job["state"] for job in service.get("/api/v1/jobs")["jobs"]]


def _order(service: ServiceProcess, job: str, verb: str) -> None:
    request = urllib.request.Request(f"{service.url}/api/v1/jobs/{job}/{verb}", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def _queue(url: str) -> int:
    with urllib.request.urlopen(f"{url}/queue", timeout=10) as answer:
        queue = json.load(answer)
    return len(queue["queue_running"]) + len(queue["queue_pending"])
