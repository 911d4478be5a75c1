"""The demo's course: a real service, a dropped picture, two faults, a review, a checked video."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ZoetropeError

PATIENCE = 600.0
LOOK = 0.2

TICKET = """\
prompt = "{prompt}"
resolution = {resolution}
seed = 1834
"""
PROMPT = (
    "Beat 1 (0-2s): a slow zoom in on the drum. Beat 2 (2-4s): the camera pans right."
    " Beat 3 (4-5s): the light breathes."
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo was asked for."""

    home: Path
    picture: Path | None = None
    engine: str = "rehearsal:"
    seconds: float | None = None
    resolution: int = 720
    hold: bool = False


class DemoFailed(ZoetropeError):
    """The demo did not come to its end."""

    key = "demo"


class Demo:
    """Drives the service from outside, as a user would, and says what happens."""

    def __init__(
        self, options: Options, say: Callable[[str], None], live: Callable[[str], None]
    ) -> None:
        self._options = options
        self._say = say
        self._live = live
        self._log = options.home / "service.log"
        self._told: set[str] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.rehearsal = options.engine == "rehearsal:"

    def run(self) -> Path:
        """Play the whole course; gives the finished folder."""
        with self._service():
            engine = self._engine_url()
            if self.rehearsal:
                self._order(engine, {"kind": "slow", "seconds": 0.12, "times": 0})
                self._order(engine, {"kind": "oom", "node": "KSamplerAdvanced"})
                self._say("ordered: an out-of-memory on the first sampler")
            self._drop()
            job = self._until(engine, ("review",))
            self._say(
                f"review: {self._options.home / 'outbox' / 'review'} holds the clip; approving it"
            )
            self._post(f"/api/v1/jobs/{job['id']}/approve")
            job = self._until(engine, ("done",))
            folder = Path(job["outbox"])
            if self._options.hold:
                self._say(f"holding: the page is at {self.url}, Ctrl-C ends it")
                with contextlib.suppress(KeyboardInterrupt):
                    while True:
                        time.sleep(1)
            return folder

    @contextlib.contextmanager
    def _service(self) -> Iterator[None]:
        home = self._options.home
        for name in ("inbox", "outbox"):
            (home / name).mkdir(parents=True, exist_ok=True)
        config = home / "zoetrope.toml"
        config.write_text(
            f'inbox.path = "{home / "inbox"}"\ninbox.settle_seconds = 0.5\n'
            f'inbox.ticket_grace_seconds = 0.2\noutbox.path = "{home / "outbox"}"\n'
            f'state.path = "{home / "state"}"\nstate.min_free_megabytes = 200\n'
            f'engines = [{{ name = "demo", url = "{self._options.engine}" }}]\n'
            f'web.listen = "{self.url.removeprefix("http://")}"\n',
            encoding="utf-8",
        )
        self._say(f"home: {home}")
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "zoetrope", "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _engine_url(self) -> str:
        for _ in self._patiently("the engine does not answer"):
            with contextlib.suppress(OSError):
                engine = self._get("/api/v1/status")["engines"][0]
                if engine["up"]:
                    kind = "rehearsal engine" if self.rehearsal else "ComfyUI"
                    self._say(f"service: {self.url}, {kind} at {engine['url']}")
                    return str(engine["url"])
        raise AssertionError

    def _drop(self) -> None:
        home, options = self._options.home, self._options
        inbox = home / "inbox"
        if options.picture is None:
            picture = home / "drum.png"
            subprocess.run(
                [sys.executable, "-m", "zoetrope.demo.picture", str(picture)], check=True
            )
        else:
            picture = options.picture
        ticket = TICKET.format(prompt=PROMPT, resolution=options.resolution)
        if options.seconds is not None:
            ticket += f"seconds = {options.seconds:g}\n"
        (inbox / f"{picture.stem}.toml").write_text(ticket, encoding="utf-8")
        shutil.copyfile(picture, inbox / picture.name)
        self._say(f"dropped: {picture.name}, with a ticket of three beats beside it")

    def _until(self, engine: str, states: tuple[str, ...]) -> dict[str, Any]:
        for _ in self._patiently("the job does not get on"):
            jobs: list[dict[str, Any]] = []
            with contextlib.suppress(OSError):
                jobs = self._get("/api/v1/jobs")["jobs"]
            for job in jobs:
                self._narrate(engine, job)
                if job["state"] in states:
                    self._live("")
                    return job
                if job["state"] in ("failed", "rejected", "cancelled"):
                    reason = job["reason"] or {}
                    raise DemoFailed(
                        f"The job was {job['state']}: {reason.get('sentence', '')}",
                        f"{reason.get('next_step', '')} The log is {self._log}.".strip(),
                    )
        raise AssertionError

    def _narrate(self, engine: str, job: dict[str, Any]) -> None:
        for stage in job["stages"]:
            for attempt in stage["attempts"]:
                failure = attempt["failure"]
                key = f"{stage['name']}-{attempt['number']}"
                if failure and f"{key}-failed" not in self._told:
                    self._told.add(f"{key}-failed")
                    rungs = ", ".join(stage["relief"]) or "nothing"
                    self._live("")
                    self._say(
                        f"{failure['kind']}: {failure['message'][:90]}\n"
                        f"    the ladder answers: again, with {rungs} in force"
                    )
                    if self.rehearsal and failure["kind"] == "oom":
                        self._order(engine, {"kind": "exit", "node": "KSamplerAdvanced", "step": 4})
                        self._say("ordered: the engine's process dies at the fourth step")
                    if self.rehearsal and failure["kind"] == "crash":
                        with contextlib.suppress(OSError):
                            self._order(engine, {"kind": "slow", "seconds": 0.12, "times": 0})
            if stage["state"] == "done" and f"{stage['name']}-done" not in self._told:
                self._told.add(f"{stage['name']}-done")
                self._live("")
                self._say(f"stage {stage['name']}: finished and verified")
        if live := job["live"]:
            left = f"{live['eta']:.0f} s left" if live["eta"] is not None else ""
            step = f"{live['value']:.0f}/{live['maximum']:.0f}" if live["maximum"] > 1 else ""
            self._live(
                f"{live['stage']:8} {live['fraction']:4.0%}  {live['node']:18} {step:>6}  {left}"
            )
        elif job["reason"] and job["state"] == "queued":
            self._live(f"waiting: {job['reason']['sentence']}")

    def _patiently(self, what: str) -> Iterator[None]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            yield
            time.sleep(LOOK)
        raise DemoFailed(f"For {PATIENCE:.0f} s, {what}.", f"Look at {self._log}.")

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def _post(self, path: str) -> None:
        request = urllib.request.Request(self.url + path, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def _order(self, engine: str, fault: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{engine}/rehearsal/faults",
            data=json.dumps(fault).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


def facts(folder: Path) -> tuple[Path, list[str]]:
    """Probe the video anew and read the receipt: what a person wants to know at the end."""
    import av

    receipt = json.loads((folder / "receipt.json").read_text())
    video = next(path for path in sorted(folder.glob("*.mp4")))
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        rate = float(stream.average_rate or 0)
        size = f"{stream.width}x{stream.height}"
    lines = [
        (
            f"probed: {frames} frames, {size}, {rate:g} fps, {frames / rate:.2f} s,"
            f" {video.stat().st_size / 1e6:.1f} MB"
        ),
        (
            f"receipt: recipe {receipt['recipe']}, seed {receipt['plan']['seed']},"
            f" source {receipt['stills'][0]['sha256'][:12]}"
        ),
    ]
    for stage in receipt["stages"]:
        failed = [a["failure"]["kind"] for a in stage["attempts"] if a.get("failure")]
        met = f", met {' and '.join(failed)}" if failed else ""
        rungs = f", rungs {' '.join(stage['rungs'])}" if stage["rungs"] else ""
        measured = stage["verdicts"][0]["measured"] if stage["verdicts"] else None
        seen = (
            f", motion {measured['motion']:.1f}, grain {measured['grain'][2]:.1f}"
            if measured
            else ""
        )
        lines.append(
            f"    {stage['name']}: {len(stage['attempts'])} attempts, {stage['seconds']:.1f} s"
            f"{met}{rungs}{seen}"
        )
    return video, lines
