"""Waiting for jobs: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

import click
import msgspec

from ..client import Client, Moved, decode
from ..web.views import JobView, StatusView
from . import show


class StreamHello(msgspec.Struct, frozen=True):
    """What the first event of a stream holds."""

    resumed: bool


class FollowScreen(Protocol):
    """Shows the progress of jobs."""

    def __enter__(self) -> FollowScreen:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        ...

    def show(self, job: JobView) -> None:
        """Show a job as it is now."""
        ...

    def say(self, text: str) -> None:
        """Show a line that is not about a job."""
        ...


def follow(client: Client, jobs: list[JobView], screen: FollowScreen) -> tuple[list[JobView], int]:
    """Wait until every job has ended; return them as they ended, and how many are not done."""
    known = {job.id: job for job in jobs}
    with screen:
        for event in client.events(lost=lambda why: screen.say(f"{why}; retrying")):
            match event.kind:
                case "hello" if not decode(event.data, StreamHello).resumed:
                    # The stream does not repeat what happened before it began, so it is asked for.
                    changed = [decode(client.job(job), JobView) for job in known]
                    paused = decode(client.get("/api/v1/status"), StatusView).paused
                    if paused is not None:
                        screen.say(str(paused))
                case "job":
                    changed = [decode(event.data, JobView)]
                case "progress":
                    moved = decode(event.data, Moved)
                    changed = (
                        [msgspec.structs.replace(known[moved.id], live=moved.live)]
                        if moved.id in known
                        else []
                    )
                case _:
                    changed = []
            for job in changed:
                if job.id in known and known[job.id].updated <= job.updated:
                    known[job.id] = job
                    screen.show(job)
            if all(job.state in show.ENDED for job in known.values()):
                break
    ended = list(known.values())
    return ended, sum(job.state != "done" for job in ended)


def outcome(job: JobView) -> str:
    """Say how a job stands, and which command comes next."""
    if job.state == "review":
        place = f": {job.outbox}" if job.outbox else ""
        return (
            f"ready for review{place}; continue with `zoetrope approve {job.short}`"
            f" or `zoetrope decline {job.short}`"
        )
    if job.state == "done":
        return f"done: {job.outbox}"
    if job.state in show.ENDED:
        return f"{job.state}: {job.reason}" if job.reason else job.state
    doing = show.progress(job)
    return f"{job.state}: {doing}" if doing else job.state


def screen_for(*, quiet: bool) -> FollowScreen:
    """Choose where it is shown how jobs get on; quiet is for output that a program reads."""
    if quiet:
        return Nothing()
    return Bars() if sys.stdout.isatty() else FollowLines()


class Nothing:
    """Shows nothing: the outcome is printed as JSON."""

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, job: JobView) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        click.echo(f"zoetrope: {text}", err=True)


class FollowLines(Nothing):
    """One line for each step, and for each quarter of a stage."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, ...]] = {}

    def show(self, job: JobView) -> None:
        """Print a line when the state, the stage or its quarter changed."""
        stage = job.live.stage if job.live else ""
        quarter = int(job.live.fraction * 4) if job.live else 0
        step = (job.state, stage, quarter, job.reason.key if job.reason else "")
        if self._last.get(job.id) == step:
            return
        self._last[job.id] = step
        click.echo(show.clean(f"{job.short} {job.name}: {outcome(job)}"))


class Bars:
    """A bar for each job."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[doing]}", markup=False, table_column=Column(no_wrap=True)),
            refresh_per_second=4,
        )
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, str] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: JobView) -> None:
        """Move a job's bar, and print outcomes above it."""
        if job.id not in self._tasks:
            name = show.clean(f"{job.short} {job.name[:32]}")
            self._tasks[job.id] = self._progress.add_task(name, total=1.0, doing="")
        done = job.state == "done"
        fraction = 1.0 if done else job.live.fraction if job.live else 0.0
        self._progress.update(self._tasks[job.id], completed=fraction, doing=_doing(job))
        if job.state in ("review", *show.ENDED) and self._said.get(job.id) != job.state:
            self.say(f"{job.short} {job.name}: {outcome(job)}")
        self._said[job.id] = job.state

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(
            show.clean(text), markup=False, highlight=False, soft_wrap=True
        )


def _doing(job: JobView) -> str:
    live = job.live
    if live is None or job.state != "running" or live.behind or live.brings:
        return show.progress(job) or job.state
    step = f" step {live.value:.0f}/{live.maximum:.0f}" if live.maximum > 1 else ""
    return f"{live.stage}{step}" + ("" if live.eta is None else f", {show.span(live.eta)} left")
