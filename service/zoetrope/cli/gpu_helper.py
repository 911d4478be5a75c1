"""`zoetrope gpu-helper`: the root process that sets clocks; systemd starts it at the first request."""

from __future__ import annotations

import click

from .options import bare

GROUP = "zoetrope-gpu"


@click.command(
    "gpu-helper",
    epilog="\b\nExample:\n  zoetrope gpu-helper --socket /run/zoetrope-gpu.sock",
)
@click.option("--config", metavar="FILE", help="The settings file, writable by root only. [env: ZOETROPE_CONFIG; default: /etc/zoetrope/zoetrope.toml]")  # fmt: skip
@click.option("--socket", metavar="PATH", help="The unix socket to listen on; default: the one that systemd passes.")  # fmt: skip
@click.option("--group", default=GROUP, show_default=True, metavar="NAME", help="The group whose members may send requests; root always may.")  # fmt: skip
@click.option("--state", default="/var/lib/zoetrope-gpu", show_default=True, metavar="DIR", help="The folder that records which profiles are proven.")  # fmt: skip
@click.option("--restore", is_flag=True, help="Reset the GPUs that an earlier run left with a profile, and exit.")  # fmt: skip
@bare
def gpu_helper(
    config: str | None, socket: str | None, group: str, state: str, restore: bool
) -> int:
    """Run the root helper that sets the clocks of GPUs; requests name a profile of the settings and nothing else.

    It applies no profile without a request. It resets a GPU to stock when the requesting process ends, when the
    helper itself ends, and, after a crash of the helper, when it starts again.
    """
    import asyncio
    import os
    from pathlib import Path

    from .. import settings as settings_file
    from ..gpu import daemon, root_file
    from ..logs import set_up

    set_up(journal="JOURNAL_STREAM" in os.environ)
    file = settings_file.find_file(config)
    text = "" if file is None else root_file.read(file)
    found = settings_file.parse(text, str(file)).gpu
    folder = Path(state)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root_file.check_folder(folder)
    if restore:
        daemon.restore(found, folder)
        return 0
    number = daemon.find_group(group)
    bound = daemon.listener(Path(socket) if socket else None, number)
    asyncio.run(daemon.serve(found, folder, bound, number))
    return 0
