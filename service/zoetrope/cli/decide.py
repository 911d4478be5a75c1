"""`zoetrope approve`, `decline`, `retry` and `cancel`: a user's decisions about jobs."""

from __future__ import annotations

import click

from . import show
from .each import each
from .options import Options, common, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope approve 1f3a9c2e")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@common
@pass_options
def approve(options: Options, ids: tuple[str, ...]) -> int:
    """Approve jobs that wait for review; they continue with the next stage."""
    return _decide(options, "approve", ids)


@click.command(epilog='\b\nExample:\n  zoetrope decline 1f3a9c2e --why "the hand melts"')
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--why", default="", help="The reason (optional); shown with the job.")
@common
@pass_options
def decline(options: Options, ids: tuple[str, ...], why: str) -> int:
    """Decline jobs that wait for review; they end as cancelled. `zoetrope retry` revives them."""
    return _decide(options, "decline", ids, why)


@click.command(epilog="\b\nExample:\n  zoetrope retry 1f3a9c2e")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@common
@pass_options
def retry(options: Options, ids: tuple[str, ...]) -> int:
    """Retry failed or cancelled jobs; finished stages are kept."""
    return _decide(options, "retry", ids)


@click.command(epilog="\b\nExample:\n  zoetrope cancel 1f3a9c2e 77ab")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--why", default="", help="The reason (optional); shown with the job.")
@common
@pass_options
def cancel(options: Options, ids: tuple[str, ...], why: str) -> int:
    """Cancel jobs, including running ones. `zoetrope retry` revives them."""
    return _decide(options, "cancel", ids, why)


def _decide(options: Options, action: str, ids: tuple[str, ...], why: str = "") -> int:
    client = options.client()
    return each(
        options,
        ids,
        lambda job_id: client.decide(job_id, action, why),
        lambda _, job: f"{job.short} {show.clean(job.name)}: {show.coloured(job.state)}",
    )
