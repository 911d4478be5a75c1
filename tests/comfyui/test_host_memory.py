"""A real ComfyUI that the kernel kills for lack of memory, and the service beside it that sees to it that it lives.

Its own folder is named by ZOETROPE_COMFYUI_FOLDER and its Python by ZOETROPE_COMFYUI_PYTHON; nothing is written there.
It takes root and a memory group whose limit is set by hand. The tiny experts are filled up with blocks of zeros, which
change nothing and take no disk, until both no longer fit next to each other.
"""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.running import draw, until, videos
from tests.fakes.service import ServiceProcess, free_port

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
GROUPS = Path("/sys/fs/cgroup")
EXPERTS = tuple(f"wan2.2_i2v_{noise}_noise_14B_fp8_scaled.safetensors" for noise in ("high", "low"))
BLOCKS, FFN = 40, 16384  # of 8 MiB each; ComfyUI keeps them in 32 bits on the CPU
# ComfyUI itself takes 1.1 GiB, an expert 0.65.
LIMIT = 1900 << 20
STARTS = 1200.0


@pytest.fixture
def group():
    """A memory group of so much memory."""
    if os.geteuid() != 0:
        pytest.skip("only root makes memory groups")
    first = GROUPS / "memory"
    folder = (first if first.is_dir() else GROUPS) / f"zoetrope-test-{os.getpid()}"
    try:
        folder.mkdir()
        name = "memory.limit_in_bytes" if first.is_dir() else "memory.max"
        (folder / name).write_text(str(LIMIT))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"no memory group can be made here: {error}")
    yield folder
    until(lambda: _removed(folder), "the group to be empty", 60)


def _removed(folder):
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def fill_up(source: Path, target: Path) -> None:
    """Write an expert anew with wider and more blocks, all zeros: a sparse file."""
    content = source.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    parts: dict[str, tuple[list[int], bytes | None]] = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        parts[name] = (about["shape"], data[begin:end])
        if name.startswith("blocks.") and ".ffn." in name:
            parts[name] = (_widened(name, about["shape"]), None)
    for name, (shape, _) in list(parts.items()):
        if name.startswith("blocks.0."):
            for number in range(2, BLOCKS):
                parts[name.replace("blocks.0.", f"blocks.{number}.")] = (shape, None)
    written, at = {}, 0
    for name, (shape, _) in parts.items():
        size = 2
        for each in shape:
            size *= each
        written[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(written).encode()
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
        for name, (_, values) in parts.items():
            if values is not None:
                file.seek(8 + len(text) + written[name]["data_offsets"][0])
                file.write(values)


def _widened(name: str, shape: list[int]) -> list[int]:
    if name.endswith("ffn.0.weight"):
        return [FFN, shape[1]]
    if name.endswith("ffn.0.bias"):
        return [FFN]
    return [shape[0], FFN] if name.endswith("ffn.2.weight") else shape


class Supervisor:
    """What a service manager does for one ComfyUI: pre-start, then the process, again whenever it ends."""

    def __init__(self, home: Path, group: Path, comfyui: Path, python: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = home
        self.ended: list[tuple[int, str]] = []  # exit codes, with the flags
        self._group = group
        self._comfyui = comfyui
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name="supervisor")
        self.pid = home / "pid"
        for name in ("run", "cache", "flags", "base"):
            (home / name).mkdir(parents=True)
        models = home / "base/models"
        shutil.copytree(comfyui / "models", models)
        for name in EXPERTS:
            file = models / "diffusion_models" / name
            file.unlink()
            fill_up(comfyui / "models/diffusion_models" / name, file)
        # The recipe needs no other packs, and each takes its time at every start.
        (home / "base/custom_nodes").mkdir()
        for pattern in ("tiny_*", "ComfyUI-VideoHelperSuite"):
            for pack in (comfyui / "custom_nodes").glob(pattern):
                (home / "base/custom_nodes" / pack.name).symlink_to(pack)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._leaving = True
        if self._process is not None:
            self._process.kill()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._leaving:
            flags = self._prepared()
            # The group is entered before the program is there.
            enter = f'echo $$ > {self._group}/cgroup.procs && echo $$ > {self.pid} && exec "$@"'
            words = [self._python, "main.py", "--port", str(self.port), "--disable-auto-launch"]
            words += ["--base-directory", str(self.home / "base"), *flags.split()]
            words += ["--database-url", f"sqlite:///{self.home}/comfyui.db"]
            with (self.home / "comfyui.log").open("ab") as log:
                self._process = subprocess.Popen(
                    ["sh", "-c", enter, "sh", *words],
                    cwd=self._comfyui,
                    stdout=log,
                    stderr=log,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
                self.ended.append((self._process.wait(), flags))

    def _prepared(self) -> str:
        values = {
            "INSTANCE": "0",
            "PYTHON": self._python,
            "COMFYUI": self._comfyui,
            "BASE": self.home / "prepared",
            "RUN": self.home / "run",
            "CACHE": self.home / "cache",
            "MODELS": self.home / "base/models",
            "DEVICE": "cpu",
            "SELFTEST": "quick",
            # What is mapped from a file the kernel drops instead of killing.
            "EXTRA_ARGS": "--disable-mmap",
            "FLAG_REQUEST": self.home / "flags/0.json",
        }
        subprocess.run(
            [ROOT / "pre-start.sh"],
            env=os.environ | {f"ZOETROPE_{name}": str(value) for name, value in values.items()},
            check=True,
            capture_output=True,
        )
        line = (self.home / "run/0.env").read_text()
        return line.partition('"')[2].rpartition('"')[0]


@pytest.fixture
def supervisor(tmp_path, group):
    folder = os.environ.get("ZOETROPE_COMFYUI_FOLDER")
    if not folder:
        pytest.skip("ZOETROPE_COMFYUI_FOLDER names no ComfyUI to start")
    python = os.environ.get("ZOETROPE_COMFYUI_PYTHON", "python3")
    supervisor = Supervisor(tmp_path / "engine", group, Path(folder).resolve(), python)
    supervisor.start()
    yield supervisor
    supervisor.stop()


@pytest.fixture
def service(tmp_path, supervisor):
    service = ServiceProcess(tmp_path, supervisor.url)
    home = supervisor.home
    text = service.config.read_text().replace(
        f'url = "{supervisor.url}"',
        f'''url = "{supervisor.url}"
            report = "{home}/run/0.json"
            flag_request = "{home}/flags/0.json"
            restart = {{ command = ["sh", "-c", "kill $(cat {supervisor.pid})"] }}''',
    )
    # Without it the sums are those of the real files, which are not sent to so small a host.
    models = f'[models]\npath = "{home}/base/models"\n'
    service.config.write_text(f"{text}\n{models}")
    service.start()
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


def test_a_killed_comfyui_gets_the_next_flags_until_the_job_fits_and_never_the_same_again(
    service, supervisor
):
    draw(service.inbox / "cat.png", colour=time.time_ns() % 251)
    until(lambda: list(service.outbox.glob("cat-*")), "the video", STARTS)
    killed = [flags for code, flags in supervisor.ended if code == 128 + 9 or code == -9]
    assert killed, "the kernel killed it with nothing asked for"
    assert len(set(killed)) == len(killed)
    assert all("--cache-none" not in flags for flags in killed)
    (job,) = service.get("/api/v1/jobs")["jobs"]
    failures = [a["failure"]["kind"] for s in job["stages"] for a in s["attempts"] if a["failure"]]
    assert failures == ["oom-kill"] * len(killed), service.log.read_text()
    # The next one runs as the first ended.
    draw(service.inbox / "dog.png", colour=time.time_ns() % 241)
    videos(service, 2)
    assert [flags for code, flags in supervisor.ended if code in (137, -9)] == killed
