"""The demo's steps: a dropped picture, two faults, a review, a checked video; a line for each."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from .. import child
from ..client import Client, Moved, ServiceDown, decode
from ..domain.values import Failure
from ..errors import Reason, ZoetropeError
from ..inbox.entry import EntryKind, classify
from ..settings import SIMULATED
from ..web.views import EngineView, JobPage, JobView, StageView, StatusView
from .facts import facts
from .host import DemoFailed, DemoHost

# With the embedded engine it takes half a minute; a real one has no limit.
LIMIT = 180.0
# The embedded engine is starting; a real one answers at once or is not there.
START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
STEP_SECONDS = 0.15
RESOLUTION = 720
PROMPT = (
    "Beat 1 (0-2s): a slow zoom in. Beat 2 (2-4s): the camera pans right."
    " Beat 3 (4-5s): the light breathes."
)
# An out-of-memory error of the first sampler, and then, when it is retried, a crash of the engine. Both
# are injected at once: the second can occur only once the first has let a sampler begin.
FAULTS: tuple[dict[str, str | int | float], ...] = (
    {"kind": "oom", "node": "KSamplerAdvanced"},
    {"kind": "exit", "node": "KSamplerAdvanced", "step": 4},
)
SLOW: dict[str, str | int | float] = {"kind": "slow", "seconds": STEP_SECONDS, "times": 0}
LACKS = frozenset({"model-missing", "node-missing"})


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the demo; with a real engine, the recipe decides what is left out."""

    home: Path
    picture: Path | None = None
    engine: str = SIMULATED[0]
    seconds: float | None = None
    resolution: int | None = None
    hold: bool = False

    @property
    def simulated(self) -> bool:
        """Whether faults can be injected."""
        return self.engine in SIMULATED


class DemoScreen(Protocol):
    """Shows the progress of the demo."""

    def say(self, topic: str, text: str) -> None:
        """Show a line that stays."""
        ...

    def live(self, job: JobView) -> None:
        """Show the progress of a job."""
        ...

    def end(self, video: Path) -> None:
        """Show the last line."""
        ...


class Demo:
    """Drives the service from outside, as a user would, and reports what happens."""

    def __init__(self, options: DemoOptions, screen: DemoScreen) -> None:
        self._options = options
        self._say = screen.say
        self._screen = screen
        self._host = DemoHost(options.home, options.engine, LIMIT if options.simulated else None)
        self._client = Client(self._host.url)
        self._engine = ""
        self._shown: set[str] = set()
        self._job: JobView | None = None

    def run(self) -> None:
        """Run all steps; every failure becomes one error that names the log."""
        try:
            picture = self._picture()
            with self._host:
                self._begin()
                self._drop(picture)
                self._finish(self._follow())
        except ZoetropeError as error:
            raise self._failed(error.reason) from error
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failed(Reason("demo", f"{error}.")) from error

    def _failed(self, reason: Reason) -> DemoFailed:
        if not self._host.started:
            shutil.rmtree(self._options.home, ignore_errors=True)
            return DemoFailed(reason.sentence, reason.next_step)
        step = f"{reason.next_step} The service's log is {self._host.log}."
        return DemoFailed(reason.sentence, step.lstrip())

    def _picture(self) -> Path:
        """Draw a picture, or copy the user's under a name that means nothing else in an inbox."""
        given = self._options.picture
        if given is None:
            drawn = self._options.home / "zoetrope.png"
            # A process of its own, because the drawing library is large and needed once.
            line = [sys.executable, "-P", "-m", "zoetrope.demo.picture", str(drawn)]
            subprocess.run(line, check=True, stdin=subprocess.DEVNULL, env=child.environment())
            return drawn
        stem = re.sub(r"[^\w-]+", "-", given.stem).strip("-") or "picture"
        if classify(f"{stem}{given.suffix}").kind is not EntryKind.PICTURE:
            raise DemoFailed(
                f"{given.name} does not have the name of a picture.", "Name a picture file."
            )
        return Path(shutil.copyfile(given, self._options.home / f"{stem}{given.suffix}"))

    def _begin(self) -> None:
        self._say("folder", str(self._options.home))
        engine = self._up()
        self._engine = engine.url
        kind = "simulated engine" if engine.rehearsal else "ComfyUI"
        self._say("service", f"{self._host.url}, with the {kind} {engine.version} at {engine.url}")
        if self._options.simulated:
            for fault in (SLOW, *FAULTS):
                self._inject(fault)
            self._say("faults", "injected: out of memory at the first sampler, then a crash")

    def _up(self) -> EngineView:
        """Wait until the service reaches its engine."""
        patience = START_SECONDS if self._options.simulated else ANSWER_SECONDS
        deadline = time.monotonic() + patience
        reason = ""
        while time.monotonic() < deadline:
            self._host.check()
            try:
                status = decode(self._client.get("/api/v1/status"), StatusView)
            except ServiceDown:
                status = None
            for engine in status.engines if status else ():
                if engine.up:
                    return engine
                reason = engine.reason.sentence if engine.reason else ""
            time.sleep(0.1)
        raise DemoFailed(
            f"The service found no engine within {patience:g} s. {reason}".strip(),
            "Start ComfyUI, or name another address with --engine."
            if not self._options.simulated
            else "",
        )

    def _drop(self, picture: Path) -> None:
        """Copy the picture into the inbox, as a user would, with a ticket next to it."""
        options, inbox = self._options, self._host.inbox
        ticket: dict[str, str | int | float] = {"seed": 1834}
        if options.simulated:
            ticket |= {"prompt": PROMPT, "resolution": RESOLUTION}
        if options.seconds is not None:
            ticket["seconds"] = options.seconds
        if options.resolution is not None:
            ticket["resolution"] = options.resolution
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in ticket.items())
        (inbox / f"{picture.stem}.toml").write_text(lines, encoding="utf-8")
        shutil.copyfile(picture, inbox / picture.name)
        self._say("dropped", f"{picture.name} into the inbox, with its ticket {picture.stem}.toml")

    def _follow(self) -> JobView:
        """Follow the service's event stream until the job has ended."""
        for job in self._changes():
            self._narrate(job)
            if job.state == "review" and self._first("review"):
                self._say(
                    "review", f"the clip is ready in {self._within(job)}; the demo approves it"
                )
                self._client.decide(job.id, "approve")
            if job.state == "done":
                return job
            reason = job.reason or Reason("", "")
            if job.state in ("failed", "rejected", "cancelled"):
                raise DemoFailed(f"The job is {job.state}: {reason.sentence}", reason.next_step)
            if reason.key in LACKS:
                raise DemoFailed(reason.sentence, "Install it where that engine looks for it.")
        raise AssertionError("the stream has no end")

    def _changes(self) -> Iterator[JobView]:
        for event in self._client.events(lost=lambda _why: self._host.check()):
            match event.kind:
                case "hello":
                    # The stream does not repeat what happened before it began.
                    yield from decode(self._client.get("/api/v1/jobs"), JobPage).jobs
                case "job":
                    self._job = decode(event.data, JobView)
                    yield self._job
                case "progress" if self._job is not None:
                    live = decode(event.data, Moved).live
                    self._screen.live(msgspec.structs.replace(self._job, live=live))

    def _narrate(self, job: JobView) -> None:
        if self._first("accepted") and job.pictures:
            size = f"{job.pictures[0].width}x{job.pictures[0].height}"
            self._say("accepted", f"{job.name}, {size}, is job {job.short} ({job.recipe})")
        for stage in job.stages:
            for attempt in stage.attempts:
                if attempt.failure and self._first(f"{stage.name}-{attempt.number}"):
                    self._failure(stage, attempt.failure)
            if stage.state == "done" and self._first(f"{stage.name}-done"):
                self._say(
                    "checked", f"{stage.name}: every frame decoded and measured, all checks passed"
                )

    def _failure(self, stage: StageView, failure: Failure) -> None:
        sentence = re.split(r"(?<=[.!?])\s", failure.message.strip(), maxsplit=1)[0]
        self._say("failure", f"{failure.kind}: {sentence}")
        match failure.kind:
            case "oom" | "host-oom" | "pinned-memory" if stage.fallbacks[-1:] == ("free",):
                recovery = "first fallback: free the engine's memory, then retry"
            case "oom" | "host-oom" | "pinned-memory" | "oom-kill" if stage.fallbacks:
                recovery = f"next fallback: {stage.fallbacks[-1]}, then retry"
            case "crash":
                recovery = "the engine was restarted; the stage is retried"
            case _:
                recovery = "the stage is retried"
        self._say("recovery", recovery)
        if self._options.simulated and failure.kind == "crash":
            # The new process does not have the faults of the old one.
            self._inject(SLOW)

    def _finish(self, job: JobView) -> None:
        self._host.calm()
        video, lines = facts(Path(job.outbox))
        for topic, text in lines:
            self._say(topic, text)
        hold = self._options.hold
        how = "running until Ctrl-C" if hold else "stopped now; --hold or HOLD=1 keeps it running"
        self._say("page", f"{self._host.url} ({how})")
        if not hold:
            self._screen.end(video)
            return
        # A reader of the last line may press Ctrl-C before the next statement is reached.
        with contextlib.suppress(KeyboardInterrupt):
            self._screen.end(video)
            self._host.wait()

    def _within(self, job: JobView) -> str:
        """Give the path of a job's files in the demo's folder."""
        return str(Path(job.outbox).relative_to(self._options.home))

    def _first(self, what: str) -> bool:
        """Tell whether this happens for the first time."""
        new = what not in self._shown
        self._shown.add(what)
        return new

    def _inject(self, fault: dict[str, str | int | float]) -> None:
        request = urllib.request.Request(
            f"{self._engine}/simulated/faults",
            data=json.dumps(fault).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()
