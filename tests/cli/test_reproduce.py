"""A video once more from its receipt, on the real service and a simulated engine."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.fakes.running import draw, until
from tests.fakes.service import EngineProcess, ServiceProcess


@pytest.fixture
def service(tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    service = ServiceProcess(tmp_path, engine.url)
    service.start()
    yield service
    service.stop()
    engine.stop()


def zoetrope(*words) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zoetrope", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_receipt_gives_the_same_graphs_and_seed_again(service):
    draw(service.inbox / "cat.png")
    (service.inbox / "cat.toml").write_text(
        'preset = "no-talking"\nprompt = "Beat 1 (0-1s): zoom"\nframes = 9\nsteps = 6'
    )
    (first,) = until(service.done, "the video")
    done = zoetrope("reproduce", first / "receipt.json", "--sync", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert "The graphs are the same as then" in done.stdout
    folders = service.done()
    assert len(folders) == 2
    old, new = (
        json.loads((folder / "receipt.json").read_text())
        for folder in sorted(folders, key=lambda folder: folder != first)
    )
    assert new["parent"] == old["job"]
    assert new["plan"] == old["plan"]
    for key in ("prompt", "negative", "parameters"):
        assert new["ticket"][key] == old["ticket"][key]


def test_another_picture_is_another_graph_and_is_told(service, tmp_path):
    draw(service.inbox / "cat.png")
    (first,) = until(service.done, "the video")
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    draw(copy / "source.png", colour=77)
    done = zoetrope("reproduce", copy, "--sync", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert "The graph of i2v" in done.stdout


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 99}'])
def test_what_is_no_receipt_is_one_sentence(tmp_path, content):
    file = tmp_path / "receipt.json"
    file.write_text(content)
    done = zoetrope("reproduce", file)
    assert done.returncode == 1
    assert "is no receipt of zoetrope" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_receipt_without_its_picture_says_so(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps({"schema": 1, "job": "0" * 32, "stages": [{}]}))
    done = zoetrope("reproduce", file)
    assert done.returncode == 1
    assert "no source picture" in done.stderr
