"""`zoetrope simulate`: the simulated engine in a process of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from .options import bare


@click.command(epilog="\b\nExample:\n  zoetrope simulate --fault oom:node=KSampler,call=2")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to listen on.",
)
@click.option("--port", default=8188, show_default=True, type=click.IntRange(0, 65535), metavar="PORT", help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="The folder of input, output and temp; default: in ~/.cache/zoetrope.")  # fmt: skip
@click.option("--step-seconds", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Make each sampler step take this long.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="KIND[:KEY=VALUE,...]", help="A fault to inject; may be repeated.")  # fmt: skip
@click.option("--keep", type=click.IntRange(0), default=200, show_default=True, metavar="NUMBER", help="How many finished prompts keep their files; 0 removes none.")  # fmt: skip
@bare
def simulate(
    host: str,
    port: int,
    home: Path | None,
    step_seconds: float,
    faults: tuple[str, ...],
    keep: int,
) -> None:
    """Run the simulated engine: it speaks ComfyUI's protocol and needs no GPU and no models.

    To use it, set the url of an engine in the settings to its address. Every video bears a SIMULATED mark.
    KIND is one of the faults in docs/simulated-engine.md, such as oom, exit or slow.
    """
    from ..engine.simulated.serve import read_fault, serve

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    where = home or cache / "zoetrope" / "simulated"
    where.mkdir(parents=True, exist_ok=True)
    try:
        injected = [read_fault(text) for text in faults]
    except ValueError as error:
        raise click.UsageError(f"--fault: {error}") from error
    asyncio.run(
        serve(where, host=host, port=port, step_seconds=step_seconds, faults=injected, keep=keep)
    )
