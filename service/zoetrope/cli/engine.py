"""`zoetrope engine`: the launch flags that the service asks for, and those that it learned."""

from __future__ import annotations

from urllib.parse import quote

import click

from . import show
from .options import Options, common, pass_options


@click.group(
    epilog="\b\nExample:\n  zoetrope engine flags gpu-0\n  zoetrope engine forget-flags gpu-0"
)
@common
def engine() -> None:
    """Show which launch flags the service asks for at an engine's next start, and have learned ones forgotten.

    A flag is learned when the host's memory runs out in a job, and asked for from then on.
    """


@engine.command(epilog="\b\nExample:\n  zoetrope engine flags gpu-0")
@click.argument("name", metavar="ENGINE")
@common
@pass_options
def flags(options: Options, name: str) -> int:
    """Show the launch flags that the service asks for at the next start of ENGINE, and why."""
    return _shown(options, options.client().get(f"/api/v1/engines/{quote(name, safe='')}/flags"))


@engine.command(name="forget-flags", epilog="\b\nExample:\n  zoetrope engine forget-flags gpu-0")
@click.argument("name", metavar="ENGINE")
@common
@pass_options
def forget_flags(options: Options, name: str) -> int:
    """Forget the launch flags that were learned for ENGINE, such as after more memory was built in.

    Those that the service works out from the host's memory stay, and it works them out again at each of its starts.
    """
    path = f"/api/v1/engines/{quote(name, safe='')}/forget-flags"
    return _shown(options, options.client().post(path, {}), forgets=True)


def _shown(options: Options, answer: bytes, *, forgets: bool = False) -> int:
    if options.json:
        click.echo(answer)
        return 0
    from ..client import decode
    from ..web.views import FlagsView

    found = decode(answer, FlagsView)
    for each in found.forgotten:
        click.echo(show.clean(f"Forgotten: {' '.join(each.words)} ({each.reason})"))
    if forgets and not found.forgotten:
        click.echo(f"Nothing was learned for {found.engine}.")
    for each in found.asked:
        click.echo(show.clean(f"{each.by}: {' '.join(each.words)} ({each.reason})"))
    if not found.asked:
        click.echo(f"No launch flag is asked for {found.engine}.")
    if found.next_step:
        click.echo(show.clean(found.next_step))
    return 0
