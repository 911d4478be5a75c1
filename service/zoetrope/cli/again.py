"""`zoetrope again`: another video of a job's picture, with some of its ticket changed."""

from __future__ import annotations

from typing import Any

import click

from ..client import decode
from ..web.views import JobView
from . import show, values
from .options import Options, common, pass_options


@click.command(
    epilog='\b\nExample:\n  zoetrope again 1f3a9c2e --prompt "she smiles" --set steps=24 --sync'
)
@click.argument("job_id", metavar="ID")
@click.option("-p", "--prompt", metavar="TEXT", help="What is to happen, in other words.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="NUMBER", help="By default a new one is drawn."
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Anything that a ticket may say; may be repeated.",
)
@click.option("--sync", is_flag=True, help="Wait for the video; exits with 1 when there is none.")
@common
@pass_options
def again(
    options: Options,
    /,
    job_id: str,
    prompt: str | None,
    seed: int | None,
    sets: tuple[str, ...],
    sync: bool,
) -> int:
    """Make another video of a job's picture, as a new job; what is not said stays as it was.

    The beginning of the job's id is enough. Without --seed, the new video is another take of the same.
    """
    changes: dict[str, Any] = {
        key: value for key, value in (("prompt", prompt), ("seed", seed)) if value is not None
    }
    changes |= values.read(sets, changes)
    client = options.client()
    content = client.again(job_id, changes)
    job = decode(content, JobView)
    if not options.json:
        click.echo(f"{job.short} repeats {job.parent[:8]}: {show.coloured(job.state)}")
    failed = 0
    if sync:
        from .follow import follow, screen_for

        (job,), failed = follow(client, [job], screen_for(quiet=options.json))
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(job) if sync else content)
    return 1 if failed else 0
