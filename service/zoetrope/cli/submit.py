"""`zoetrope submit`: send pictures, and wait for their videos with --sync."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..client import Client, Refused, decode
from ..web.views import JobView
from . import precheck, show, values
from .options import Options, common, pass_options

# Variables of these names count if ZOETROPE_ stands before them. WIDTH or SEED may mean anything to other programs,
# so alone they count only where INPUT_IMAGE says that they are meant for us.
PREFIX = "ZOETROPE_"
PICTURE = "INPUT_IMAGE"

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
# The flag's own name, and the key of the ticket that it sets.
KEYS = {
    "recipe": "recipe",
    "presets": "preset",
    "prompt": "prompt",
    "beats": "prompt",
    "negative": "negative",
    "width": "width",
    "height": "height",
    "length": "frames",
    "seconds": "seconds",
    "seed": "seed",
    "name": "name",
    "review": "review",
}


class EnvironmentOption(click.Option):
    """An option that a variable can stand in for."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Find the variable's value."""
        name = str(self.envvar)
        if value := os.environ.get(PREFIX + name):
            return value
        # What stands on the command line is read first, so the pictures are known here.
        given = ctx.params.get("images") or ctx.params.get("more")
        alone = not given and not os.environ.get(PREFIX + PICTURE) and os.environ.get(PICTURE)
        return (os.environ.get(name) or None) if alone else None


@click.command(
    epilog='\b\nExample:\n  zoetrope submit cat.png -p "the cat turns its head" --seconds 5 --sync'
)
@click.argument("images", metavar="[IMAGE]...", nargs=-1, type=FILE)
@click.option(
    "-i",
    "--image",
    "more",
    multiple=True,
    type=FILE,
    metavar="FILE",
    help="A picture, like IMAGE; may be repeated. [env: ZOETROPE_INPUT_IMAGE or INPUT_IMAGE]",
)
@click.option(
    "-e",
    "--end",
    type=FILE,
    cls=EnvironmentOption,
    envvar="END_IMAGE",
    help="The last frame, for recipes that take two pictures. [env: ZOETROPE_END_IMAGE]",
)
@click.option(
    "-r",
    "--recipe",
    metavar="NAME",
    help="The recipe; default: the service's. `zoetrope recipes` lists them.",
)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME",
    help="A preset of the recipe; may be repeated.",
)
@click.option(
    "-p",
    "--prompt",
    metavar="TEXT",
    cls=EnvironmentOption,
    envvar="POSITIVE_PROMPT",
    help="What happens in the video. [env: ZOETROPE_POSITIVE_PROMPT]",
)
@click.option(
    "--beat",
    "beats",
    multiple=True,
    metavar="TEXT",
    help="Instead of --prompt, repeated: what happens one after the other, each for an equal part of the clip.",
)
@click.option(
    "-n",
    "--negative",
    metavar="TEXT",
    cls=EnvironmentOption,
    envvar="NEGATIVE_PROMPT",
    help="The negative prompt. [env: ZOETROPE_NEGATIVE_PROMPT]",
)
@click.option(
    "-w",
    "--width",
    type=click.IntRange(1),
    cls=EnvironmentOption,
    envvar="WIDTH",
    metavar="PIXELS",
    help="The clip's width; default: from the picture. [env: ZOETROPE_WIDTH]",
)
@click.option(
    "--height",
    type=click.IntRange(1),
    cls=EnvironmentOption,
    envvar="HEIGHT",
    metavar="PIXELS",
    help="The clip's height; default: from the picture. [env: ZOETROPE_HEIGHT]",
)
@click.option(
    "-l",
    "--length",
    type=click.IntRange(1),
    cls=EnvironmentOption,
    envvar="LENGTH",
    metavar="FRAMES",
    help="The clip's length in frames; default: the recipe's. [env: ZOETROPE_LENGTH]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="The clip's length in seconds, instead of --length.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    cls=EnvironmentOption,
    envvar="SEED",
    metavar="NUMBER",
    help="The seed; random by default. [env: ZOETROPE_SEED]",
)
@click.option("--name", metavar="NAME", help="The video's file name; default: the picture's.")
@click.option(
    "--no-auto-resize",
    is_flag=True,
    help="Keep the size of the picture instead of fitting it to the recipe.",
)
@click.option(
    "--review/--no-review",
    default=None,
    help="Whether the job waits for review between its stages; default: as the recipe says.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of the recipe; may be repeated. `zoetrope recipes NAME` lists them.",
)
@click.option(
    "--no-check",
    is_flag=True,
    help="Send the pictures without having their ticket checked first.",
)
@click.option(
    "--sync", is_flag=True, help="Wait for the videos; exit with 1 if a job does not end as done."
)
@common
@pass_options
@click.pass_context
def submit(
    ctx: click.Context,
    options: Options,
    /,
    images: tuple[Path, ...],
    more: tuple[Path, ...],
    end: Path | None,
    no_auto_resize: bool,
    sets: tuple[str, ...],
    no_check: bool,
    sync: bool,
    **flags: Any,
) -> int:
    """Send pictures to the service; each becomes one job.

    A flag overrides its environment variable. Where the picture comes from INPUT_IMAGE, the other
    variables count without ZOETROPE_ as well.

    Before a picture is sent, the service checks its ticket: what it would certainly reject is
    reported, and no job is made. A job in review waits for `zoetrope approve ID` or
    `zoetrope decline ID`, also with --sync.
    """
    pictures = [*images, *more] or _from_environment()
    if not pictures:
        raise click.UsageError("No picture is given; try `zoetrope submit cat.png`.", ctx)
    if end is not None and len(pictures) > 1:
        raise click.UsageError("--end (or ZOETROPE_END_IMAGE) goes with one picture only.", ctx)
    if flags["name"] and len(pictures) > 1:
        raise click.UsageError("--name goes with one picture only.", ctx)
    ticket = _ticket(ctx, flags, sets)
    if no_auto_resize:
        ticket["auto_resize"] = False
    client = options.client()
    sent, failed = _send(client, options, pictures, end, ticket, check=not no_check)
    if sync and sent:
        from .follow import follow, screen_for

        try:
            sent, ended = follow(client, sent, screen_for(quiet=options.json))
        except KeyboardInterrupt:
            click.echo(
                "Stopped waiting; the jobs continue. `zoetrope status` shows them.", err=True
            )
            return 1
        failed += ended
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(sent))
    elif sent and not sync:
        click.echo("`zoetrope status --watch` shows the progress.", err=True)
    return 1 if failed else 0


def _send(
    client: Client,
    options: Options,
    pictures: list[Path],
    end: Path | None,
    ticket: dict[str, Any],
    *,
    check: bool,
) -> tuple[list[JobView], int]:
    sent: list[JobView] = []
    failed = 0
    for picture in pictures:
        known = precheck.expected(client, picture, ticket) if check else precheck.Outlook()
        if why := known.rejection or known.warning:
            click.echo(f"zoetrope: {show.clean(picture.name)}: {show.clean(why)}", err=True)
        if known.rejection:
            failed += 1
            continue
        try:
            job = decode(client.upload(picture, ticket, end=end), JobView)
        except Refused as error:
            # A rejected picture does not stop the others.
            click.echo(f"zoetrope: {show.clean(picture.name)}: {error}", err=True)
            failed += 1
            continue
        sent.append(job)
        if not options.json:
            click.echo(f"{job.short} {show.clean(job.name)}: {show.coloured(job.state)}")
    return sent, failed


def _from_environment() -> list[Path]:
    # By hand: click would split the variable where a file's name has a colon.
    for variable in (PREFIX + PICTURE, PICTURE):
        if named := os.environ.get(variable):
            if not Path(named).is_file():
                raise click.UsageError(f"{variable} names {named!r}, which is not a file.")
            return [Path(named)]
    return []


def _ticket(ctx: click.Context, flags: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    if flags["length"] is not None and flags["seconds"] is not None:
        if ctx.get_parameter_source("length") is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                "--length and --seconds both set the length; give one of them.", ctx
            )
        flags = {**flags, "length": None}
    if flags["prompt"] is not None and flags["beats"]:
        if ctx.get_parameter_source("prompt") is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                "--prompt and --beat both set the prompt; give one of them.", ctx
            )
        flags = {**flags, "prompt": None}
    ticket = {KEYS[flag]: value for flag, value in flags.items() if value not in (None, ())}
    return ticket | values.read(sets, ticket)
