"""The same asked of several jobs: all are tried, each error has its own line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from ..client import ServiceDown, decode
from ..errors import ZoetropeError
from ..web.views import JobView
from .options import Options


def each(
    options: Options,
    ids: Iterable[str],
    ask: Callable[[str], bytes],
    said: Callable[[str, JobView], str],
) -> int:
    """Ask for each id, and print what became of its job; 1 if one could not be had, and no answer ends it all."""
    done: list[bytes] = []
    failed = 0
    for job_id in ids:
        try:
            answer = ask(job_id)
        except ServiceDown:
            raise
        except ZoetropeError as error:
            which = "" if job_id[:8] in str(error) else f"{job_id[:8]}: "
            click.echo(f"zoetrope: {which}{error}", err=True)
            failed += 1
            continue
        done.append(answer)
        if not options.json:
            click.echo(said(job_id, decode(answer, JobView)))
    if options.json:
        click.echo(b"[" + b",".join(done) + b"]")
    return 1 if failed else 0
