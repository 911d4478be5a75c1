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
@click.option("-p", "--prompt", metavar="TEXT", help="Another prompt.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="NUMBER", help="The seed; random by default."
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other key of the ticket; may be repeated.",
)
@click.option(
    "--sync", is_flag=True, help="Wait for the video; exit with 1 if the job does not end as done."
)
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
    """Make another video of a job's picture: a new job with the same ticket, except for what you change here.

    The first characters of the job's ID are enough. With no changes, only the seed is new.
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
