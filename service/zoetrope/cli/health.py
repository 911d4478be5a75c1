"""`zoetrope health`: every check's verdict, and what to do next."""

from __future__ import annotations

import click

from ..health.base import Report
from . import show
from .client import decode
from .options import Options, common, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope health || journalctl -u zoetrope -e")
@common
@pass_options
def health(options: Options) -> int:
    """Ask every check; exits with 1 when one is failing or the service does not run."""
    answer = options.client().ready()
    report = decode(answer, Report)
    if options.json:
        click.echo(answer)
    else:
        for line in lines(report):
            click.echo(line)
    return 1 if report.level == "failing" else 0


def lines(report: Report) -> list[str]:
    """Write a report as lines."""
    written = []
    for verdict in report.checks:
        level = show.coloured(verdict.level) + " " * (9 - len(verdict.level))
        written.append(f"{level} {verdict.name:<7} {show.clean(verdict.found)}")
        if verdict.next_step:
            written.append(f"{'':<9} {'':<7} next: {show.clean(verdict.next_step)}")
    return written
