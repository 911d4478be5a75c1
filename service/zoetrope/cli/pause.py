"""`zoetrope pause` and `resume`: the GPU for something else, and back."""

from __future__ import annotations

import re

import click

from ..client import decode
from ..web.views import StatusView
from . import show
from .options import Options, common, pass_options

UNITS = {"m": 1.0, "min": 1.0, "h": 60.0, "d": 1440.0}
_SPAN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:min|[mhd]))+")
_PART = re.compile(r"([0-9.]+)(min|[mhd])")


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A span of time such as 2h, 90min or 1h30m, in minutes."""

    name = "SPAN"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        text = str(value).replace(" ", "").lower()
        if not _SPAN.fullmatch(text):
            self.fail(f"{value!r} is not a span like 2h, 90min or 1h30m", param, ctx)
        return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))


@click.command(epilog="\b\nExample:\n  zoetrope pause --for 2h")
@click.option("--for", "minutes", type=Duration(), metavar="SPAN", help="Resume by itself after 2h, 90min, 1h30m.")  # fmt: skip
@click.option("--now", is_flag=True, help="Also interrupt running stages; they begin anew afterwards.")  # fmt: skip
@common
@pass_options
def pause(options: Options, minutes: float | None, now: bool) -> int:
    """Start no further stage, so that the GPU is free for something else.

    A running stage goes on to its end, unless --now is given. Then the engines' memory is freed. Pictures
    are taken and queued meanwhile. The pause outlasts restarts of the service.
    """
    body: dict[str, object] = {"now": now}
    if minutes is not None:
        body["minutes"] = minutes
    answer = options.client().post("/api/v1/pause", body)
    if options.json:
        click.echo(answer)
        return 0
    found = decode(answer, StatusView)
    click.echo(show.clean(str(found.paused or found.summary)))
    if (running := found.counts.get("running", 0)) and not now:
        stages = "1 stage goes" if running == 1 else f"{running} stages go"
        click.echo(f"{stages} on to the end; `zoetrope pause --now` interrupts what runs.")
    return 0


@click.command(epilog="\b\nExample:\n  zoetrope resume --now")
@click.option("--now", is_flag=True, help="Also start stages outside the working hours, until these begin the next time.")  # fmt: skip
@common
@pass_options
def resume(options: Options, now: bool) -> int:
    """End a pause; outside the working hours (jobs.hours) stages start only with --now.

    Then they start until the hours begin the next time, over restarts of the service, too; a pause ends it.
    """
    answer = options.client().post("/api/v1/resume", {"now": True} if now else {})
    if options.json:
        click.echo(answer)
        return 0
    found = decode(answer, StatusView)
    click.echo(show.clean(str(found.paused) if found.paused else f"Resumed. {found.summary}"))
    return 0
