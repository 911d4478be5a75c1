"""pre-start.sh on a machine that is made up: root, driver and interpreter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


SCRIPT = ROOT / "pre-start.sh"


DRIVER = "580.95.05"


UUID = "GPU-8a56a4bc-1111-2222-3333-444455556666"


GB = 2**30


# Answers as the self-test and as the packages' versions would, and lets the real Python do the rest.
INTERPRETER = """#!/bin/sh
case "$1" in
*/selftest.py)
  echo "$CUDA_VISIBLE_DEVICES $*" >> "$FAKE/calls"
  while [ "$1" != --out ]; do shift; done
  [ ! -e "$FAKE/selftest.json" ] || cp "$FAKE/selftest.json" "$2"
  exit "$(cat "$FAKE/code")" ;;
*/publish.py) if [ "$2" = runtime ]; then cat "$FAKE/packages"; exit; fi ;;
esac
exec "$REAL_PYTHON" "$@"
"""


def kernel(name, flag="", *, ms=100.0, reason=""):
    figures = {"cosine": 0.9999, "rel_l1": 0.02, "ms": ms} if not reason else {}
    verdict = "refused" if reason else "ok"
    row = {"name": name, "version": "2.2.0", "flag": flag, "verdict": verdict, "reason": reason}
    return {**row, "cosine": None, "rel_l1": None, "ms": None, **figures}


SDPA = kernel("sdpa", "--use-pytorch-cross-attention", ms=300.0)


SAGE = kernel("sageattn", "--use-sage-attention")


def outcome(**changes):
    return {
        "schema": 1,
        "card": "NVIDIA GeForce RTX 5090",
        "memory": 32 * GB,
        "kernels": [SDPA, SAGE],
        "chosen": "sageattn",
        "flag": "--use-sage-attention",
        "fell_back": "",
        "settled": True,
        **changes,
    }


class Host:
    """A machine in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fake = folder / "fake"
        self.run, self.base, self.cache = folder / "run", folder / "base", folder / "cache"
        self.models, self.list = folder / "models", folder / "models.tsv"
        self.root = folder / "root"
        for made in (self.fake, self.models, self.root, folder / "comfyui"):
            made.mkdir()
        (folder / "comfyui/main.py").touch()
        python = self.fake / "python"
        python.write_text(INTERPRETER)
        python.chmod(0o755)
        (self.fake / "packages").write_text("python 3.12.3, torch 2.11.0\n")
        self.answers(outcome())
        self.list.write_text("")
        self.env = {
            "PATH": os.environ["PATH"],
            "FAKE": str(self.fake),
            "REAL_PYTHON": sys.executable,
            "ZOETROPE_INSTANCE": "0",
            "ZOETROPE_PYTHON": str(python),
            "ZOETROPE_COMFYUI": str(folder / "comfyui"),
            "ZOETROPE_BASE": str(self.base),
            "ZOETROPE_RUN": str(self.run),
            "ZOETROPE_CACHE": str(self.cache),
            "ZOETROPE_MODELS": str(self.models),
            "ZOETROPE_MODEL_LIST": str(self.list),
            "ZOETROPE_ROOT": str(self.root),
        }

    def answers(self, report, code=0):
        file = self.fake / "selftest.json"
        file.unlink(missing_ok=True)
        if report is not None:
            file.write_text(json.dumps(report, indent=2))
        (self.fake / "code").write_text(str(code))

    def driver(self, loaded=DRIVER, library=DRIVER, cards=(UUID,), *, where="sys"):
        shutil.rmtree(self.root)
        self.root.mkdir()
        if loaded and where == "sys":
            file = self.root / "sys/module/nvidia/version"
            file.parent.mkdir(parents=True)
            file.write_text(f"{loaded}\n")
        elif loaded:
            file = self.root / "proc/driver/nvidia/version"
            file.parent.mkdir(parents=True)
            file.write_text(f"NVRM version: NVIDIA UNIX {where}  {loaded}  Release Build  (x)\n")
        if library:
            folder = self.root / "run/opengl-driver/lib"
            folder.mkdir(parents=True)
            (folder / f"libcuda.so.{library}").touch()
            (folder / "libcuda.so.1").symlink_to(f"libcuda.so.{library}")
        for number, uuid in enumerate(cards):
            file = self.root / f"proc/driver/nvidia/gpus/0000:0{number}:00.0/information"
            file.parent.mkdir(parents=True)
            file.write_text(f"Model: \t\t NVIDIA GeForce RTX 5090\nIRQ:   1\nGPU UUID: \t {uuid}\n")

    def model(self, name, size, *, wanted=None, recipes="wan22-i2v-hero"):
        path = self.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if size is not None:
            path.write_bytes(b"x" * size)
        folder, _, file = name.partition("/")
        with self.list.open("a") as listed:
            listed.write(f"{folder}\t{file}\t{wanted if wanted is not None else size}\t{recipes}\n")

    def pack(self, name):
        path = self.folder / "store" / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "__init__.py").touch()
        return path

    def start(self, *words, before=(), **changes):
        env = {**self.env, **{f"ZOETROPE_{key}": str(value) for key, value in changes.items()}}
        return subprocess.run(
            [*before, SCRIPT, *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def begin(self, **changes):
        """Start it, and give the process."""
        env = {**self.env, **{f"ZOETROPE_{key}": str(value) for key, value in changes.items()}}
        return subprocess.Popen(
            [SCRIPT], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def report(self):
        return json.loads((self.run / "0.json").read_text())

    @property
    def args(self):
        name, _, value = (self.run / "0.env").read_text().strip().partition("=")
        assert name == "ZOETROPE_COMFYUI_ARGS"
        return value.strip('"')

    @property
    def calls(self):
        file = self.fake / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def tree(self):
        """Everything there is outside the machine itself: path, link target or content."""
        found = {}
        for top in (self.run, self.base, self.cache):
            for path in sorted(top.rglob("*")):
                at = str(path.relative_to(self.folder))
                found[at] = (
                    str(path.readlink())
                    if path.is_symlink()
                    else path.is_file() and path.read_text()
                )
        return found


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    made.driver()
    return made
