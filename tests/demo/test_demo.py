"""The demo as a newcomer runs it, at a small size."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
import uuid
from pathlib import Path

import av
import msgspec
import pytest

from tests.fakes.service import EngineProcess, free_port
from zoetrope.demo import picture
from zoetrope.demo.host import DemoFailed, DemoHost
from zoetrope.jobs.receipt import Receipt

SMALL = ("--seconds", "1", "--resolution", "496")
MARK = "ZOETROPE_DEMO_TEST"
# The interpreter below the tests' own environment, which knows none of its packages, and what a wrapper of
# nixpkgs has in front of the command.
BARE = str(Path(sys.executable).resolve())
WRAPPED = (
    f"import site; site.addsitedir({sysconfig.get_path('purelib')!r});"
    " from zoetrope.cli import main; main()"
)


class Run:
    """One run; whatever it starts inherits a mark, by which it is found again."""

    def __init__(self, tmp: Path, *command: str) -> None:
        self.tmp = tmp
        self.command = command or (sys.executable, "-m", "zoetrope")
        self.mark = uuid.uuid4().hex
        self.env = os.environ | {MARK: self.mark, "TMPDIR": str(tmp)}

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
        )

    def __call__(self, *options: str) -> tuple[int, list[str], list[str]]:
        process = self.start(*options)
        out, err = process.communicate(timeout=200)
        return process.returncode, out.splitlines(), err.splitlines()

    def left_over(self) -> list[str]:
        """Name the processes of this run that still are."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.mark}".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def soon_over(self) -> bool:
        deadline = time.monotonic() + 60
        while self.left_over() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.left_over()


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


def check_for_ever(host: DemoHost) -> None:
    while True:
        host.check()
        time.sleep(0.02)


def topics(lines: list[str]) -> list[str]:
    found = [re.match(r" *[\d.]+ s  (\S*)", line) for line in lines]
    return [match[1] for match in found if match]


def test_it_ends_with_a_checked_video_after_two_faults_whatever_wrapper_found_its_packages(
    tmp_path,
):
    alone = subprocess.run([BARE, "-c", "import zoetrope"], cwd="/", capture_output=True)
    assert b"No module named 'zoetrope'" in alone.stderr
    run = Run(tmp_path, BARE, "-I", "-S", "-c", WRAPPED)
    run.env.pop("PYTHONPATH", None)
    code, lines, errors = run(*SMALL)
    assert (code, errors) == (0, []), lines
    assert run.left_over() == []
    video = Path(lines[-1].removeprefix("video: "))
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert sum(1 for _ in container.decode(stream)) == 33
        assert (stream.average_rate, stream.height) == (32, 496)
    receipt = msgspec.json.decode((video.parent / "receipt.json").read_bytes(), type=Receipt)
    first, second = receipt.stages
    assert [a.failure.kind for a in first.attempts if a.failure] == ["oom", "crash"]
    assert first.fallbacks == ("free",)
    assert len(second.attempts) == 1
    assert (video.parent / "poster.jpg").exists()

    told = topics(lines)
    order = ("faults", "dropped", "accepted", "failure", "recovery", "checked", "review", "upscale")
    places = [told.index(topic) for topic in (*order, "video", "receipt", "page")]
    assert places == sorted(places), lines
    assert told.count("failure") == told.count("recovery") == 2
    assert "33 frames, 860x496, 32 fps" in lines[told.index("video")]
    progress = (
        r"i2v +\d+ %  KSamplerAdvanced, step \d+/\d+|i2v +\d+%  KSamplerAdvanced, step \d+/\d+"
    )
    assert any(re.search(progress, line) for line in lines)


def test_on_another_engine_no_fault_is_injected_and_it_can_stay(run, tmp_path):
    engine = EngineProcess(tmp_path / "engine")
    engine.start()
    lines = []
    demo = run.start("--hold", "--engine", engine.url, *SMALL)
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            lines.append(line.strip())
            if line.startswith("video: "):
                break
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=120)
    finally:
        demo.kill()
        engine.stop()
    assert not {"faults", "failure"} & set(topics(lines)), errors
    assert "running until Ctrl-C" in lines[-2]
    assert (demo.returncode, rest) == (0, "")
    assert run.soon_over()


def test_nothing_of_it_outlives_it_when_it_is_killed(run):
    demo = run.start(*SMALL)
    for line in demo.stdout:
        if " accepted " in line:
            break
    assert len(run.left_over()) > 2
    demo.kill()
    demo.communicate(timeout=120)
    assert run.soon_over(), run.left_over()


def test_a_picture_that_is_none_ends_in_one_sentence_that_names_the_log(run, tmp_path):
    (tmp_path / "note.png").write_text("not a picture")
    code, _, (error,) = run("--image", str(tmp_path / "note.png"))
    assert code == 1
    assert "The job is rejected: The file is text, not a picture." in error
    assert Path(error.rpartition("log is ")[2].rstrip(".")).read_text()
    assert run.left_over() == []


def test_what_fails_before_anything_ran_leaves_nothing_behind(run, tmp_path):
    (tmp_path / "cat.txt").write_text("a ticket")
    code, _, (error,) = run("--image", str(tmp_path / "cat.txt"))
    assert (code, "does not have the name of a picture" in error) == (1, True)
    assert not list(tmp_path.glob("zoetrope-demo-*"))


def test_an_engine_that_is_not_there_is_named(run):
    address = f"http://127.0.0.1:{free_port()}"
    code, _, (error,) = run("--engine", address)
    assert code == 1
    assert f"{address} does not respond" in error


def test_a_service_that_does_not_start_is_noticed_and_quoted(tmp_path):
    with DemoHost(tmp_path, "nonsense:", None) as host, pytest.raises(DemoFailed) as caught:
        check_for_ever(host)
    assert "The service exited with 1: " in str(caught.value)
    assert "engines[0].url: found 'nonsense:'" in str(caught.value)


def test_a_service_that_takes_too_long_is_ended(tmp_path):
    with (
        DemoHost(tmp_path, "simulated:", 0.1) as host,
        pytest.raises(DemoFailed, match="not finish within"),
    ):
        check_for_ever(host)


def test_the_picture_is_drawn_at_its_size_and_always_the_same():
    image = picture.draw()
    assert image.size == (picture.WIDTH, picture.HEIGHT)
    assert len(image.getcolors(1 << 24)) > 1000
    assert image.tobytes() == picture.draw().tobytes()
