"""Measures on a real GPU what everything else here only computes: kernels, seconds a step, memory.

    python -m tests.gpu.truth --comfyui 0.33.0=/path --comfyui 0.27.1=/path --out FOLDER
    python -m tests.gpu.truth --comfyui 0.33.0=/path --out FOLDER --tiny     a rehearsal without a GPU

Run it from the repository with ComfyUI's own Python (torch, what ComfyUI imports, nvidia-ml-py) and the attention
kernels that are to be measured. It writes random weights of the real sizes to --models (45 GB), starts ComfyUI there,
and runs the shipped graphs for a few steps. Rows are in the order of their worth, each has its own limit, and
FOLDER/truth.json is written after each; docs/gpu-truth.md is made from it by `python -m tests.gpu.truth.table`.
Nothing of the GPU is set; a kernel or a pack that is not there is "absent".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import graphs
from .book import Book, Skip
from .comfyui import ComfyUI
from .gauges import GIB, read
from .graphs import ROOT, Size

HERE = Path(__file__).resolve().parent
RUNTIME = ROOT / "service/runtime"
SMALL, LARGE = Size(480, 832, 81), Size(832, 1216, 81)
TINY = Size(64, 96, 5)
STEPS = {"steps": 4, "split": 2}


class Truth:
    """One run: what it uses, and a method for each row."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tiny: bool = options.tiny
        self.out: Path = options.out
        self.book = Book(self.out / "truth.json", options.seconds, options.rows)
        self.sources = dict(pair.split("=", 1) for pair in options.comfyui)
        self.main = next(iter(self.sources))
        self.models: Path = options.models
        chosen = self.book.said["rows"].get("kernels", {}).get("report", {}).get("flag")
        self.attention = chosen or "--use-pytorch-cross-attention"
        self.engine: ComfyUI | None = None
        self.seed = 100

    def run(self) -> None:
        """Measure everything, in the order of its worth."""
        row = self.book.row
        row("host", 5, self.host)
        row("kernels", 20, self.kernels, 130)
        if self.book.wants("ComfyUI"):
            self.launch(self.main)  # it takes its time to start while the weights are written
        row("weights", 30, self.weights)
        row("ComfyUI", 20, self.ready)
        row("lightning, cold", 40, lambda: self.graph(graphs.lightning, self.small))
        row("lightning, warm", 30, lambda: self.graph(graphs.lightning, self.small))
        row("hero", 40, lambda: self.graph(graphs.hero, self.small, **STEPS))
        row("lightning, 832x1216", 70, lambda: self.graph(graphs.lightning, self.large))
        row("lightning with 16 GB", 45, lambda: self.balloon(16))
        row("ours as the official one", 40, self.faithful)
        row("the official template", 40, self.official)
        row("the official template again", 40, self.official)
        row("lightning with 32 GB", 45, lambda: self.balloon(32))
        row("lightning with 24 GB", 45, lambda: self.balloon(24))
        row("SeedVR2 of the core", 45, self.upscale)
        row("hero, 832x1216", 75, lambda: self.graph(graphs.hero, self.large, steps=2, split=1))
        row("lightning with the next kernel", 60, self.next_kernel)
        for name in [name for name in self.sources if name != self.main]:
            row(f"lightning on {name}", 70, lambda name=name: self.other(name))  # type: ignore[misc]
        if self.engine is not None:
            self.engine.stop()
        row("pre-start.sh", 25, self.pre_start, 150)

    @property
    def small(self) -> Size:
        """The size of most rows."""
        return TINY if self.tiny else SMALL

    @property
    def large(self) -> Size:
        """The size of the documents' figures."""
        return TINY if self.tiny else LARGE

    def host(self) -> dict[str, Any]:
        """Say what the machine is, with the service's own reading of the GPU beside NVML's."""
        import torch

        found: dict[str, Any] = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cpus": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
            "kernel": platform.release(),
            "disk_free_gib": round(shutil.disk_usage(self.models).free / GIB, 1),
        }
        try:
            import pynvml

            pynvml.nvmlInit()
            card = pynvml.nvmlDeviceGetHandleByIndex(0)
            found["gpu"] = pynvml.nvmlDeviceGetName(card)
            found["driver"] = pynvml.nvmlSystemGetDriverVersion()
            found["nvml"] = read(card)
        except Exception as error:
            found["nvml"] = f"{type(error).__name__}: {error}"
        found["service"] = self._service()
        return found

    def _service(self) -> Any:
        sys.path.insert(0, str(ROOT / "service"))
        try:
            import msgspec

            from zoetrope.gpu.device import Nvml

            device = Nvml()
            return [
                {
                    "card": msgspec.to_builtins(card),
                    "reading": msgspec.to_builtins(device.read(card.uuid)),
                    "offset": str(device.offset(card.uuid)),
                }
                for card in device.cards()
            ]
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def kernels(self) -> dict[str, Any]:
        """Run the self-test of the kernels as pre-start does, at all sizes, and follow its choice from here on."""
        file = self.out / "kernels.json"
        command = [sys.executable, str(RUNTIME / "selftest.py"), "--out", str(file)]
        command += ["--limit", str(self.book.limit - 5)] + (["--quick"] if self.tiny else [])
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=self.book.limit, check=False
        )
        report = json.loads(file.read_text())
        self.attention = report["flag"] or self.attention
        return {
            "code": done.returncode,
            "chosen": report["chosen"],
            "said": done.stderr.splitlines()[-20:],
            "report": report,
        }

    def weights(self) -> dict[str, Any]:
        """Write the models, and take their pages out of the cache, so that the first load is from the disk."""
        if self.tiny:
            raise Skip("a rehearsal has the tiny ones that are there")
        return {"files": self._write("--without", "seedvr2")}

    def _write(self, *which: str) -> list[dict[str, Any]]:
        command = [sys.executable, str(HERE / "weights.py"), self.sources[self.main]]
        done = subprocess.run(
            [*command, str(self.models), "--device", "cuda", *which],
            capture_output=True,
            text=True,
            check=False,
            timeout=self.book.limit,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-800:])
        for file in self.models.rglob("*.safetensors"):
            with file.open("rb") as held:
                os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]

    def launch(self, name: str, *flags: str) -> None:
        """Start a ComfyUI with the flags that a host of ours has, but for its memory's."""
        if self.engine is not None:
            self.engine.stop()
        base = self.out.parent / f"truth-base-{name}"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        (base / "models").symlink_to(self.models.resolve())
        (base / "custom_nodes").mkdir()
        for pack in self.options.pack:
            (base / "custom_nodes" / Path(pack).name).symlink_to(Path(pack).resolve())
        picture(base / "input" / graphs.PICTURE, self.large)
        used = [*(flags or (self.attention,)), *(["--cpu"] if self.tiny else [])]
        source = Path(self.sources[name])
        self.engine = ComfyUI(
            source, base, self.options.port, self.out / f"comfyui-{name}.log", used
        )
        self.engine.start()

    def ready(self) -> dict[str, Any]:
        """Wait for the ComfyUI that was started."""
        if self.engine is None:
            raise Skip("no ComfyUI was started")
        return {"flags": self.engine.flags, "ready": self.engine.ready(120)}

    def graph(self, make: Callable[..., graphs.Graph], size: Size, **values: Any) -> dict[str, Any]:
        """Run a graph with a new seed, so that nothing is answered from the cache but the models and the prompt."""
        if self.engine is None:
            raise Skip("no ComfyUI runs")
        self.seed += 1
        return {
            "size": list(size),
            **self.engine.measure(make(size, self.seed, **values), self.book.limit),
        }

    def faithful(self) -> dict[str, Any]:
        """Run the hero recipe with the values of its preset `faithful`, for two steps."""
        values = {"steps": 2, "split": 1, "cfg_high": 3.5, "cfg_low": 3.5}
        return self._same(graphs.hero(self.small, 77, **values))

    def official(self) -> dict[str, Any]:
        """Run the official template with the same words, seed and steps."""
        words = graphs.hero(self.small, 77)
        return self._same(graphs.official(self.small, 77, 2, 1, words))

    def _same(self, graph: graphs.Graph) -> dict[str, Any]:
        if self.engine is None:
            raise Skip("no ComfyUI runs")
        # What one has computed would answer the other.
        self.engine.free()
        found = {"size": list(self.small), **self.engine.measure(graph, self.book.limit)}
        if found.get("files"):
            found["frames"] = frames_digest(self.engine.base / "output" / found["files"][0])
        return found

    def balloon(self, gigabytes: int) -> dict[str, Any]:
        """Run the four-step recipe while all but so much of the GPU's memory is held by another process."""
        if self.tiny or self.engine is None:
            raise Skip("there is no GPU" if self.tiny else "no ComfyUI runs")
        self.engine.free()
        process = subprocess.Popen(
            [sys.executable, str(HERE / "balloon.py"), str(gigabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            left = float(process.stdout.readline() or "nan")
            return {"free_gib": round(left, 2), **self.graph(graphs.lightning, self.small)}
        finally:
            process.kill()
            process.wait()

    def next_kernel(self) -> dict[str, Any]:
        """Run the four-step recipe with the second-fastest correct kernel that has a flag."""
        report = self.book.said["rows"].get("kernels", {}).get("report") or {"kernels": []}
        right = [k for k in report["kernels"] if k["flag"] and k["verdict"] == "ok"]
        others = sorted((k for k in right if k["flag"] != self.attention), key=lambda k: k["ms"])
        if not others:
            raise Skip("there is no other correct kernel")
        self.launch(self.main, others[0]["flag"])
        started = self.ready()
        self.graph(graphs.lightning, Size(128, 128, 5), steps=2, split=1)  # loads the models
        return {**started, "kernel": others[0]["name"], **self.graph(graphs.lightning, self.small)}

    def other(self, name: str) -> dict[str, Any]:
        """Run the four-step recipe on another ComfyUI."""
        self.launch(name)
        return {**self.ready(), **self.graph(graphs.lightning, self.small)}

    def upscale(self) -> dict[str, Any]:
        """Run SeedVR2 as ComfyUI has it, on a clip that was made before."""
        if self.tiny or self.engine is None:
            raise Skip("there are no tiny weights of it" if self.tiny else "no ComfyUI runs")
        self._write("--only", "seedvr2")
        clips = sorted(self.engine.base.glob("output/**/*.mp4"))
        if not clips:
            raise Skip("no clip was made before")
        shutil.copy(clips[0], self.engine.base / "input/clip.mp4")
        self.engine.free()
        return self.engine.measure(graphs.upscaler("clip.mp4", 1080, 1), self.book.limit)

    def pre_start(self) -> dict[str, Any]:
        """Run pre-start.sh as the unit does, and give the flags that it chooses for this GPU."""
        folder = self.out.parent / "truth-pre-start"
        shutil.rmtree(folder, ignore_errors=True)
        settings = {
            "INSTANCE": "0",
            "PYTHON": sys.executable,
            "COMFYUI": self.sources[self.main],
            "BASE": str(folder / "base"),
            "RUN": str(folder / "run"),
            "CACHE": str(folder / "cache"),
            "MODELS": str(self.models),
            "SELFTEST": "quick",
            "WAIT": "1",
        }
        done = subprocess.run(
            ["bash", str(ROOT / "pre-start.sh")],
            env={**os.environ, **{f"ZOETROPE_{key}": value for key, value in settings.items()}},
            capture_output=True,
            text=True,
            check=False,
            timeout=self.book.limit,
        )
        said = (done.stdout + done.stderr).splitlines()[-30:]
        report = folder / "run/0.json"
        arguments = folder / "run/0.env"
        return {
            "code": done.returncode,
            "said": said,
            "arguments": arguments.read_text() if arguments.exists() else "",
            "report": json.loads(report.read_text()) if report.exists() else None,
        }


def picture(file: Path, size: Size) -> None:
    """Write a picture that is not flat."""
    import numpy as np
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    down, across = np.mgrid[0 : size.height, 0 : size.width]
    waves = [np.sin(across / 37 + down / (23 + 9 * i)) * 90 + 128 for i in range(3)]
    Image.fromarray(np.stack(waves, -1).astype("uint8")).save(file)


def frames_digest(file: Path) -> str:
    """Give a digest of a video's frames, whatever else is in its file."""
    import av

    digest = hashlib.sha256()
    with av.open(str(file)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()[:16]


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu.truth",
        description=(__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--comfyui",
        action="append",
        required=True,
        metavar="VERSION=FOLDER",
        help="a ComfyUI; the first is the one that all rows run on",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder for truth.json and the logs"
    )
    parser.add_argument(
        "--models", type=Path, default=Path("truth-models"), help="where the weights are written"
    )
    parser.add_argument(
        "--pack", action="append", default=[], help="the folder of a node pack; several times"
    )
    parser.add_argument("--seconds", type=float, default=540, help="time for everything (540)")
    parser.add_argument(
        "--rows", nargs="*", default=[], help="only rows with these words in their names"
    )
    parser.add_argument("--port", type=int, default=18277)
    parser.add_argument(
        "--tiny", action="store_true", help="on the CPU, with tiny weights that are there already"
    )
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    Truth(options).run()


if __name__ == "__main__":
    main()
