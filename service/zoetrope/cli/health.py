"""`zoetrope health`: every check's verdict, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..health.base import Report
from . import show
from .options import Options, common, meant_here, pass_options

if TYPE_CHECKING:
    from ..errors import Reason


@click.command(epilog="\b\nExample:\n  zoetrope health || journalctl -u zoetrope -e")
@click.option("--config", metavar="FILE", help="The settings file, read if the service does not answer. [env: ZOETROPE_CONFIG; default: /etc/zoetrope/zoetrope.toml]")  # fmt: skip
@common
@pass_options
def health(options: Options, config: str | None) -> int:
    """Run every check; exit with 1 if one is failing or the service does not run.

    If no service answers on this host, the settings, folders, disks, models, GPUs and kernel reports are checked
    without it.
    """
    from ..client import ServiceDown, decode

    try:
        answer = options.client().ready()
        report = decode(answer, Report)
    except ServiceDown as error:
        if not meant_here(options.url):
            raise  # what there is on this host says nothing of another
        return _without(error.reason, config, options)
    _show(report, answer if options.json else None)
    return 1 if report.level == "failing" else 0


def lines(report: Report) -> list[str]:
    """Write a report as lines."""
    wide = max((len(verdict.name) for verdict in report.checks), default=0)
    written = []
    for verdict in report.checks:
        level = show.coloured(verdict.level) + " " * (9 - len(verdict.level))
        written.append(f"{level} {verdict.name:<{wide}} {show.clean(verdict.found)}")
        if verdict.next_step:
            written.append(f"{'':<9} {'':<{wide}} next: {show.clean(verdict.next_step)}")
    return written


def _without(down: Reason, config: str | None, options: Options) -> int:
    import asyncio
    import sys

    import msgspec

    from ..health.offline import offline
    from ..settings import find_file

    async def look() -> int:
        report = await offline(down, find_file(config)).report()
        # Printed at once: a hanging share delays the end of this process, not its report.
        _show(report, msgspec.json.encode(report) if options.json else None)
        sys.stdout.flush()
        return 1 if report.level == "failing" else 0

    return asyncio.run(look())


def _show(report: Report, json: bytes | None) -> None:
    click.echo(json if json is not None else "\n".join(lines(report)))
