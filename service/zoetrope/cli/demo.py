"""`zoetrope demo`: the whole way of a picture at one look, with two faults ordered on it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from .options import common


@click.command(epilog="\b\nExample:\n  zoetrope demo --image cat.jpg --hold")
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own picture instead of the one that is drawn.")  # fmt: skip
@click.option("--engine", default="rehearsal:", metavar="URL", help="A real ComfyUI instead of the embedded engine; no faults are ordered there.")  # fmt: skip
@click.option("--hold", is_flag=True, help="Keep the service running at the end.")
@click.option("--seconds", type=float, help="Length of the clip; by default the recipe's.")
@click.option("--resolution", type=int, default=720, show_default=True, help="Short edge of the finished video.")  # fmt: skip
@common
def demo(
    image: Path | None, engine: str, hold: bool, seconds: float | None, resolution: int
) -> None:
    """Show the whole service: drop a picture, meet an out-of-memory and a crash, get the video.

    Everything happens in a temporary folder, which stays, so that the video can be looked at.
    """
    from ..demo.play import Demo, Options, facts

    begun = time.monotonic()
    screen = Screen(terminal=sys.stdout.isatty(), begun=begun)
    options = Options(
        home=Path(tempfile.mkdtemp(prefix="zoetrope-demo-")),
        picture=image.absolute() if image else None,
        engine=engine,
        seconds=seconds,
        resolution=resolution,
        hold=hold,
    )
    play = Demo(options, screen.say, screen.live)
    folder = play.run()
    video, lines = facts(folder)
    for line in lines:
        screen.say(line)
    screen.say(f"page: {play.url} (while it runs; --hold keeps it)")
    click.echo(f"video: {video}")


class Screen:
    """Lines with the seconds in front; on a terminal the last line moves."""

    def __init__(self, *, terminal: bool, begun: float) -> None:
        self._terminal = terminal
        self._begun = begun
        self._shown = ""
        self._tenth = ""

    def say(self, text: str) -> None:
        """Write a line that stays."""
        click.echo(f"{time.monotonic() - self._begun:5.1f} s  {text}")

    def live(self, text: str) -> None:
        """Write a line that the next one replaces; without a terminal, only every tenth part of it."""
        if self._terminal:
            if self._shown or text:
                click.echo(f"\r\033[K{'         ' + text if text else ''}", nl=False)
            self._shown = text
        elif text and (mark := text[:11]) != self._tenth:
            self._tenth = mark
            self.say(f"  {text}")
