"""`zoetrope demo`: the whole service on the simulated engine, with two injected faults."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from ..web.views import JobView
from . import show
from .options import bare

TOPIC = 9  # columns
COLOURS = {"failure": "yellow", "recovery": "green", "checked": "green", "faults": "magenta"}


@click.command(epilog="\b\nExample:\n  zoetrope demo --image cat.jpg --hold")
@click.option("--image", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path), metavar="FILE", help="Your own picture instead of the demo's.")  # fmt: skip
@click.option("--engine", default="simulated:", metavar="URL", help="Use a real ComfyUI instead of the simulated engine, without faults.")  # fmt: skip
@click.option("--hold", is_flag=True, help="Keep the service and its page running until Ctrl-C.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Length of the clip; default: the recipe's.")  # fmt: skip
@click.option("--resolution", type=click.IntRange(1), metavar="PIXELS", help="Short edge of the video; default: 720, with a real ComfyUI the recipe's.")  # fmt: skip
@bare
def demo(
    image: Path | None, engine: str, hold: bool, seconds: float | None, resolution: int | None
) -> None:
    """Run the whole service once: a dropped picture becomes a checked video, despite two injected faults.

    It needs no GPU: the simulated engine runs out of memory and crashes, and the service recovers. All files are in
    a new temporary folder, which is kept.
    """
    from ..demo.play import Demo, DemoOptions
    from ..settings import SIMULATED

    if engine not in SIMULATED and not engine.startswith(("http://", "https://")):
        raise click.UsageError(f"--engine {engine!r} is not an address like http://HOST:PORT.")
    options = DemoOptions(
        home=Path(tempfile.mkdtemp(prefix="zoetrope-demo-")),
        picture=image.absolute() if image else None,
        engine=engine,
        seconds=seconds,
        resolution=resolution,
        hold=hold,
    )
    with Bar() if sys.stdout.isatty() else DemoLines() as screen:
        Demo(options, screen).run()


class DemoLines:
    """Lines with the seconds in front; a stage has one at each fifth of its progress."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._shown: tuple[str, int] = ("", -1)

    def __enter__(self) -> DemoLines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, topic: str, text: str) -> None:
        """Write a line that stays."""
        colour = COLOURS.get(topic)
        styled = click.style(f"{topic:<{TOPIC}}", fg=colour) if colour else f"{topic:<{TOPIC}}"
        self._write(f"{self._elapsed()}  {styled} {show.clean(text)}")

    def live(self, job: JobView) -> None:
        """Write the progress of a stage at each fifth."""
        assert job.live is not None
        fifth = (job.live.stage, int(job.live.fraction * 5))
        if fifth != self._shown and job.live.maximum > 1:
            self._shown = fifth
            self.say(job.live.stage, f"{job.live.fraction:4.0%}  {doing(job)}")

    def end(self, video: Path) -> None:
        """Write the last line, which programs read too."""
        click.echo(f"video: {video}")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._begun:5.1f} s"

    def _write(self, line: str) -> None:
        click.echo(line)


class Bar(DemoLines):
    """The same lines above a bar that moves."""

    def __init__(self) -> None:
        super().__init__()
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        self._progress = Progress(
            TextColumn("         {task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[doing]}", markup=False, table_column=Column(no_wrap=True)),
            refresh_per_second=10,
            transient=True,
        )
        self._task: Any = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def live(self, job: JobView) -> None:
        """Move the bar."""
        live = job.live
        assert live is not None
        if self._task is None:
            self._task = self._progress.add_task("", total=1.0, doing="")
        self._progress.update(
            self._task,
            description=f"{live.stage:<{TOPIC}}",
            completed=live.fraction,
            doing=doing(job),
        )

    def end(self, video: Path) -> None:
        """Remove the bar and write the last line."""
        self._progress.stop()
        super().end(video)

    def _write(self, line: str) -> None:
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(line), soft_wrap=True)


def doing(job: JobView) -> str:
    """Say what a stage does now, and the time left once there is an estimate."""
    live = job.live
    assert live is not None
    if live.brings:
        return show.BROUGHT[live.brings]
    step = f"step {live.value:.0f}/{live.maximum:.0f}" if live.maximum > 1 else ""
    # Before a quarter is done the estimate is the recipe's, which means a large GPU.
    left = f"{show.span(live.eta)} left" if live.eta is not None and live.fraction >= 0.25 else ""
    return ", ".join(part for part in (live.node, step, left) if part)
