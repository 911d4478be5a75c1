"""`zoetrope backup` and `zoetrope restore`: the ledger and the recipes of its jobs, in one file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from . import show
from .options import Options, common, local, meant_here, pass_options

CONFIG = "The settings file, read if the service does not answer. [env: ZOETROPE_CONFIG; default: /etc/zoetrope/zoetrope.toml]"


@click.command(epilog="\b\nExample:\n  zoetrope backup /mnt/backup/zoetrope.tar")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--config", metavar="FILE", help=CONFIG)
@common
@pass_options
def backup(options: Options, file: Path, config: str | None) -> None:
    """Write the ledger and the recipes of its jobs to FILE, while jobs run.

    The pictures and videos are not in it: they lie in the inbox, the outbox, and the state folder's `work`. If no
    service answers on this host, the backup is made of the state folder; that takes the service's user.
    """
    from ..backup import make, private, read_manifest, written_whole
    from ..client import ServiceDown
    from ..settings import find_file, load

    try:
        with written_whole(file) as part:
            with private(part) as stream:
                for piece in options.client().backup():
                    stream.write(piece)
            made = read_manifest(part)
    except ServiceDown:
        if not meant_here(options.url):
            raise  # what there is on this host says nothing of another
        made = make(load(find_file(config)), file, time.time())
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(made))
        return
    click.echo(f"{show.clean(str(file))}: {made.jobs} jobs, {file.stat().st_size / 1e6:.1f} MB")


@click.command(epilog="\b\nExample:\n  zoetrope restore /mnt/backup/zoetrope.tar")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--config", metavar="FILE", help=CONFIG.replace("read if the service does not answer", "which names the state folder"))  # fmt: skip
@local
@pass_options
def restore(options: Options, file: Path, config: str | None) -> None:
    """Put a backup in the place of the ledger; the service has to be stopped (systemctl stop zoetrope).

    Run it as the service's user: sudo -u zoetrope zoetrope restore FILE.

    The ledger that was there is kept in the state folder. Work that the backup knows nothing of then waits in
    lost+found (`zoetrope recover`), and a job whose video is in the outbox already is done.
    """
    from ..backup import restore as put_back
    from ..settings import find_file, load

    done = put_back(load(find_file(config)), file, time.time())
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(done))
        return
    click.echo(
        f"Restored {done.backup.jobs} jobs, as of {show.ago(done.backup.created)}."
        f" The ledger that was there is kept in {show.clean(done.aside)}."
    )
    if done.unreadable:
        click.echo(f"{done.unreadable} rows cannot be read; `zoetrope health` will name them.")
    click.echo("Next: start the service, then `zoetrope health` and `zoetrope recover`.")
