"""`zoetrope submit`: send pictures, and wait for their videos if asked to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..client import Client, Refused, decode
from ..web.views import JobView
from . import show, values
from .options import Options, common, pass_options

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
    help="A picture; may be repeated; or INPUT_IMAGE.",
)
@click.option(
    "-e",
    "--end",
    type=FILE,
    envvar="END_IMAGE",
    help="The last picture, for recipes that take two; or END_IMAGE.",
)
@click.option("-r", "--recipe", metavar="NAME", help="The recipe; by default the service's.")
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
    envvar="POSITIVE_PROMPT",
    help="What is to happen; or POSITIVE_PROMPT.",
)
@click.option(
    "--beat",
    "beats",
    multiple=True,
    metavar="TEXT",
    help="In place of a prompt, repeated: what happens one after the other, in even parts of the clip.",
)
@click.option(
    "-n",
    "--negative",
    metavar="TEXT",
    envvar="NEGATIVE_PROMPT",
    help="What is not to be seen; or NEGATIVE_PROMPT.",
)
@click.option(
    "-w", "--width", type=click.IntRange(1), envvar="WIDTH", metavar="PIXELS", help="Or WIDTH."
)
@click.option(
    "--height", type=click.IntRange(1), envvar="HEIGHT", metavar="PIXELS", help="Or HEIGHT."
)
@click.option(
    "-l",
    "--length",
    type=click.IntRange(1),
    envvar="LENGTH",
    metavar="FRAMES",
    help="Or LENGTH.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="In place of frames.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    envvar="SEED",
    metavar="NUMBER",
    help="Or SEED; by default a new one each time.",
)
@click.option("--name", metavar="NAME", help="The video's file name.")
@click.option("--no-auto-resize", is_flag=True, help="Keep the picture's own size.")
@click.option(
    "--review/--no-review", default=None, help="Whether a person looks between the stages."
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of the recipe; may be repeated.",
)
@click.option(
    "--sync", is_flag=True, help="Wait for the video; exits with 1 when there will be none."
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
    sync: bool,
    **flags: Any,
) -> int:
    """Send pictures to the service; each becomes one job.

    A flag wins over its environment variable. While a job waits for a look (see --review),
    `zoetrope approve ID` or `zoetrope decline ID` decides how it goes on.
    """
    pictures = [*images, *more] or _from_environment()
    if not pictures:
        raise click.UsageError("No picture is given. Try: zoetrope submit cat.png", ctx)
    if end is not None and len(pictures) > 1:
        raise click.UsageError("--end (or END_IMAGE) goes with one picture only.", ctx)
    if flags["name"] and len(pictures) > 1:
        raise click.UsageError("--name goes with one picture only.", ctx)
    ticket = _ticket(ctx, flags, sets)
    if no_auto_resize:
        ticket["auto_resize"] = False
    client = options.client()
    sent, failed = _send(client, options, pictures, end, ticket)
    if sync and sent:
        from .follow import follow, screen_for

        try:
            sent, ended = follow(client, sent, screen_for(quiet=options.json))
        except KeyboardInterrupt:
            click.echo("The jobs go on without you; `zoetrope status` shows them.", err=True)
            return 1
        failed += ended
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(sent))
    elif sent and not sync:
        click.echo("`zoetrope status --watch` shows how they are getting on.", err=True)
    return 1 if failed else 0


def _send(
    client: Client, options: Options, pictures: list[Path], end: Path | None, ticket: dict[str, Any]
) -> tuple[list[JobView], int]:
    sent: list[JobView] = []
    failed = 0
    for picture in pictures:
        try:
            job = decode(client.upload(picture, ticket, end=end), JobView)
        except Refused as error:
            # A refused picture does not hold back the others.
            click.echo(f"zoetrope: {show.clean(picture.name)}: {error}", err=True)
            failed += 1
            continue
        sent.append(job)
        if not options.json:
            click.echo(f"{job.short} {show.clean(job.name)}: {show.coloured(job.state)}")
    return sent, failed


def _from_environment() -> list[Path]:
    # By hand: click would split the variable where a file's name has a colon.
    named = os.environ.get("INPUT_IMAGE")
    if not named:
        return []
    if not Path(named).is_file():
        raise click.UsageError(f"INPUT_IMAGE names {named!r}, which is no file.")
    return [Path(named)]


def _ticket(ctx: click.Context, flags: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    if flags["length"] is not None and flags["seconds"] is not None:
        if ctx.get_parameter_source("length") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--length and --seconds say the same; give one of them.", ctx)
        flags = {**flags, "length": None}
    if flags["prompt"] is not None and flags["beats"]:
        if ctx.get_parameter_source("prompt") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--prompt and --beat say the same; give one of them.", ctx)
        flags = {**flags, "prompt": None}
    ticket = {KEYS[flag]: value for flag, value in flags.items() if value not in (None, ())}
    return ticket | values.read(sets, ticket)
