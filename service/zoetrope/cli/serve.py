"""`zoetrope serve`: run the service, or only read its settings."""

from __future__ import annotations

import click

from .options import Options, common, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope serve --check /etc/zoetrope/zoetrope.toml")
@click.option("--config", metavar="FILE", help="The settings; or ZOETROPE_CONFIG, or /etc/zoetrope/zoetrope.toml.")  # fmt: skip
@click.option("--check", metavar="FILE", help="Read the settings, say what is wrong, and stop.")
@common
@pass_options
def serve(options: Options, /, config: str | None, check: str | None) -> int:
    """Run the service until it is told to stop; SIGHUP (systemctl reload) has the settings read again.

    --check looks at the words of the file alone, not at the disks and engines it names; `zoetrope
    health` looks at those.
    """
    from .. import settings

    if check is not None:
        return _check(check)
    from ..app import run

    file = settings.find_file(config)
    return run(lambda: settings.load(file), debug=options.debug)


def _check(file: str) -> int:
    from pathlib import Path

    from .. import settings
    from ..errors import SettingsError

    try:
        settings.load(Path(file))
    except SettingsError as error:
        click.echo(str(error), err=True)
        return 1
    click.echo(f"{file}: ok")
    return 0
