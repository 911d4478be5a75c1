"""Below inbox and outbox the service gives the system names relative to descriptors, and no path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.running import draw, readiness, states, until
from tests.fakes.service import EngineProcess, ServiceProcess

WATCHED = Path(__file__).parent / "fakes" / "watched"
# What stays by path:
# - watchfiles' own watch, in native code that Python hears nothing of: it lists folders (openat, statx) and
#   asks the kernel to tell of changes in them (inotify_add_watch). What it reports is a hint; the service looks
#   at each name itself, from a descriptor. As traced on Linux, there is nothing else, children included.
# - inbox and outbox themselves, which the operator chose and which may be links: opened, looked at, asked for
#   their room (statvfs) and rights. They do not lie below themselves, so the watch leaves them out.


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record"


@pytest.fixture
def watched(tmp_path: Path, engine: EngineProcess, record: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path, engine.url)
    service.start(**environment(service, record))
    yield service
    service.stop()


def environment(service: ServiceProcess, record: Path) -> dict[str, str]:
    paths = [str(WATCHED), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "WATCHED_FOLDERS": f"{service.inbox}:{service.outbox}",
        "WATCHED_RECORD": str(record),
    }


def fault(engine: EngineProcess, **what: object) -> None:
    body = json.dumps(what).encode()
    urllib.request.urlopen(f"{engine.url}/simulated/faults", body).close()


def job(service: ServiceProcess, stem: str) -> dict[str, object]:
    jobs = [each for each in service.get("/api/v1/jobs")["jobs"] if each["stem"] == stem]
    return jobs[0] if jobs else {"state": "unseen"}


def wait_for(service: ServiceProcess, stem: str, state: str) -> dict[str, object]:
    until(lambda: job(service, stem)["state"] == state, f"{stem} to be {state}")
    return job(service, stem)


@pytest.mark.parametrize("call", ["open('{0}/cat.png')", "os.stat('{0}/cat.png')", "os.scandir('{0}/a')", "os.rename('{0}/cat.png', '/x')", "Path('{0}/a').exists()", "Path('{0}/a').mkdir()", "os.open(b'{0}/cat.png', 0)", "os.access('{0}/a', 4)", "os.remove('{0}/a')", "shutil.rmtree('{0}/a', True)"])  # fmt: skip
def test_the_watch_hears_of_each_path(tmp_path, call):
    record = tmp_path / "record"
    code = f"import os, shutil\nfrom pathlib import Path\n{call.format(tmp_path / 'in')}"
    watch = {"WATCHED_FOLDERS": str(tmp_path / "in"), "WATCHED_RECORD": str(record)}
    subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(WATCHED), **watch},
        stderr=subprocess.DEVNULL,
        check=False,  # nothing is there
    )
    assert f"{tmp_path}/in/" in record.read_text()


def test_the_ways_of_pictures_and_videos_touch_nothing_by_path(watched, engine, record):
    inbox, outbox = watched.inbox, watched.outbox
    # Dropped, with a ticket, in a folder, and made.
    (inbox / "tiny").mkdir()
    (inbox / "tiny" / "ticket.toml").write_text("frames = 5")
    (inbox / "tiny" / "cat.toml").write_text("seed = 7")
    draw(inbox / "tiny" / "cat.png")
    done = wait_for(watched, "cat", "done")
    # Rejected, moved back, and made.
    (inbox / "bad.png").write_text("no picture")
    wait_for(watched, "bad", "rejected")
    until((inbox / "rejected" / "bad.png.why.txt").exists, "the reason")
    draw(inbox / "rejected" / "bad.png", 40)
    (inbox / "rejected" / "bad.png").rename(inbox / "bad.png")
    until(
        lambda: watched.done_named("bad") if job(watched, "bad")["state"] == "done" else None, "bad"
    )
    # Shown for a review, answered.
    for stem, answer in (("yes", "approve"), ("no", "decline")):
        (inbox / f"{stem}.toml").write_text("review = true")
        draw(inbox / f"{stem}.png", 60 if answer == "approve" else 80)
        shown = wait_for(watched, stem, "review")
        until(lambda: list((outbox / "review").glob("*-*")), "the review")
        watched.post(f"/api/v1/jobs/{shown['id']}/{answer}")
    wait_for(watched, "yes", "done")
    wait_for(watched, "no", "cancelled")
    until(lambda: not list((outbox / "review").glob("*-*")), "the reviews to go")
    # Served and made again, from the outbox.
    for url in ("", "/source.png", "/video.mp4", "/poster.jpg"):
        watched_url = f"{watched.url}/api/v1/jobs/{done['id']}/artefacts{url}"
        with urllib.request.urlopen(watched_url, timeout=60) as answer:
            assert answer.read()
    watched.post(f"/api/v1/jobs/{done['id']}/again", {"seed": 3})
    watched.get(f"/api/v1/jobs/{done['id']}/receipt")
    # A job that fails gives its picture back.
    until(lambda: set(states(watched)) <= {"done", "rejected", "cancelled"}, "the jobs to end")
    fault(engine, kind="oom", times=0)
    draw(inbox / "lost.png", 100)
    wait_for(watched, "lost", "failed")
    until((inbox / "rejected" / "lost.png").exists, "the picture to come back")
    # Looked at by health; found by the next start, which has a claim of before to sort out.
    readiness(watched)
    watched.kill()
    claim = inbox / ".zoetrope" / ("ab" * 16)
    claim.mkdir()
    draw(claim / "left.png", 120)
    watched.start(**environment(watched, record))
    until(lambda: job(watched, "left")["state"] != "unseen", "what was left")
    assert not record.exists(), record.read_text()
