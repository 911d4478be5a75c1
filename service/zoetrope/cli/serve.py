"""`zoetrope serve`: run the service, or check its settings."""

from __future__ import annotations

import click

from .options import Options, bare, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope serve --check /etc/zoetrope/zoetrope.toml")
@click.option("--config", metavar="FILE", help="The settings file. [env: ZOETROPE_CONFIG; default: /etc/zoetrope/zoetrope.toml]")  # fmt: skip
@click.option("--check", metavar="FILE", help="Check a settings file, and exit.")
@bare
@pass_options
def serve(options: Options, /, config: str | None, check: str | None) -> int:
    """Run the service until SIGTERM or Ctrl-C; SIGHUP (systemctl reload) reloads the settings.

    --check reads only the file, not the folders and engines that it names; `zoetrope health` checks those.
    """
    from .. import settings

    if check is not None:
        return _check(check)
    from ..app import run
    from ..engine.url_file import with_urls

    file = settings.find_file(config)
    return run(lambda: with_urls(settings.load(file)), debug=options.debug)


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
