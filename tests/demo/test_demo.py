"""The demo as a newcomer runs it, at a small size."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from zoetrope.demo import picture


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoetrope", "demo", *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def cleared():
    homes: list[Path] = []
    yield homes
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


def test_it_ends_with_a_checked_video_after_two_faults(cleared):
    done = run("--seconds", "1", "--resolution", "496")
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[-1].startswith("video: ")
    video = Path(lines[-1].removeprefix("video: "))
    cleared.append(video.parents[2])
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert sum(1 for _ in container.decode(stream)) == 33
        assert (stream.average_rate, stream.height) == (32, 496)
    receipt = json.loads((video.parent / "receipt.json").read_text())
    kinds = [a["failure"]["kind"] for a in receipt["stages"][0]["attempts"] if a.get("failure")]
    assert kinds == ["oom", "crash"]
    assert receipt["stages"][0]["rungs"] == ["free"]
    assert (video.parent / "poster.jpg").exists()
    children = subprocess.run(
        ["pgrep", "-f", str(video.parents[2])], capture_output=True, check=False
    )
    assert children.stdout == b"", "nothing of it runs on"


def test_a_picture_that_is_none_ends_in_one_sentence(tmp_path):
    (tmp_path / "note.png").write_text("not a picture")
    done = run("--image", str(tmp_path / "note.png"))
    assert done.returncode == 1
    assert "rejected" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_picture_is_drawn_at_its_size():
    image = picture.draw()
    assert image.size == (picture.WIDTH, picture.HEIGHT)
    assert isinstance(image, Image.Image)
    assert len(image.getcolors(1 << 24)) > 1000
