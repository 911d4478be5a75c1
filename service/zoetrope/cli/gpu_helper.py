"""`zoetrope gpu-helper`: the root process that sets clocks; systemd starts it when somebody asks."""

from __future__ import annotations

import click

from .options import common

GROUP = "zoetrope-gpu"


@click.command(
    "gpu-helper",
    epilog="\b\nExample:\n  zoetrope gpu-helper --socket /run/zoetrope-gpu.sock",
)
@click.option("--config", metavar="FILE", help="The settings, which only root may be able to change; or ZOETROPE_CONFIG, or /etc/zoetrope/zoetrope.toml.")  # fmt: skip
@click.option("--socket", metavar="PATH", help="Listen here; without it, on the socket that systemd hands over.")  # fmt: skip
@click.option("--group", default=GROUP, show_default=True, metavar="NAME", help="Whose members may ask, beside root.")  # fmt: skip
@click.option("--state", default="/var/lib/zoetrope-gpu", show_default=True, metavar="DIR", help="Where is remembered which profiles proved themselves.")  # fmt: skip
@click.option("--restore", is_flag=True, help="Put every card back that an end left tuned, and stop.")  # fmt: skip
@common
def gpu_helper(
    config: str | None, socket: str | None, group: str, state: str, restore: bool
) -> int:
    """Set clocks for those who may ask, by the names of profiles in the settings alone.

    It applies nothing by itself. A card is tuned while somebody works on it, and is put back when they end, when
    this process ends, and, after a crash, when it starts again.
    """
    import asyncio
    import os
    from pathlib import Path

    from .. import settings as settings_file
    from ..gpu import daemon
    from ..logs import set_up

    set_up(journal="JOURNAL_STREAM" in os.environ)
    file = settings_file.find_file(config)
    if file is not None:
        daemon.check_owner(file)
    found = settings_file.load(file).gpu
    folder = Path(state)
    folder.mkdir(parents=True, exist_ok=True)
    if restore:
        daemon.restore(found, folder)
        return 0
    number = daemon.find_group(group)
    bound = daemon.listener(Path(socket) if socket else None, number)
    asyncio.run(daemon.serve(found, folder, bound, number))
    return 0
