"""kill -9 at random moments: every picture becomes exactly one video all the same."""

import json
import random
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.running import emptied, states, until
from tests.fakes.service import EngineProcess, ServiceProcess, wait_for
from zoetrope.jobs.outbox_identity import MARK

PICTURES = 12


def draw(file: Path, number: int) -> None:
    """Draw a picture that differs from all others, written in place as a careless program does."""
    gradient = Image.linear_gradient("L").resize((96, 64))
    image = gradient.point(lambda v: (v + number * 7) % 256).convert("RGB")
    image.putpixel((0, 0), (number % 256, number // 256, 7))
    image.save(file)


@pytest.fixture
def engine(tmp_path):
    engine = EngineProcess(tmp_path / "engine", "--step-seconds", "0.02")
    engine.start()
    yield engine
    engine.stop()


def test_killed_at_random_moments_it_makes_each_video_once(tmp_path, engine, kills, kill_seed):
    randomness = random.Random(kill_seed)
    service = ServiceProcess(tmp_path, engine.url)
    left = list(range(PICTURES))
    service.start(wait=False)
    try:
        for n in range(kills):
            share = -(-len(left) // max(1, (kills - n) // 2))
            for number in left[:share]:
                draw(service.inbox / f"cat{number}.png", number)
                if randomness.random() < 0.3:
                    (service.inbox / f"cat{number}.txt").write_text(f"Beat {number}")
            left = left[share:]
            time.sleep(randomness.uniform(0.05, 1.5))
            service.kill()
            service.start(wait=False)
        wait_for(f"{service.url}/healthz", service.process)
        until(lambda: states(service).count("done") >= PICTURES, "all jobs to be done", 120)
        until(lambda: set(states(service)) == {"done"}, "no other job to be left", 120)
        # Work goes a moment after its job is done.
        emptied(service.state / "work")
    finally:
        code = service.stop()
    told = service.log.read_text()
    assert code == 0, told
    stems = [folder.name.rpartition("-")[0] for folder in service.done()]
    assert sorted(stems) == sorted(f"cat{n}" for n in range(PICTURES)), told
    for folder in service.done():
        receipt = json.loads((folder / "receipt.json").read_text())
        assert receipt["stills"][0]["name"] == f"{folder.name.rpartition('-')[0]}.png"
        assert (folder / f"{folder.name.rpartition('-')[0]}.mp4").stat().st_size > 0
    left_over = [p for p in service.inbox.rglob("*") if p.is_file()]
    assert left_over == []
    assert {path.name for path in service.outbox.glob(".*")} == {MARK}
    assert "Traceback" not in told
