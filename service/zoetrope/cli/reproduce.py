"""`zoetrope reproduce`: run again what a receipt tells, and say whether it was the same work."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import click

from ..client import Client, decode
from ..errors import ZoetropeError
from ..web.views import JobView
from . import show
from .follow import follow
from .options import Options, common, pass_options


@click.command(epilog="\b\nExample:\n  zoetrope reproduce outbox/cat-1f3a9c2e/receipt.json --sync")
@click.argument("receipt", type=click.Path(exists=True, path_type=Path))
@click.option("--sync", is_flag=True, help="Wait for the video, and compare the graphs.")
@common
@pass_options
def reproduce(options: Options, /, receipt: Path, sync: bool) -> int:
    """Make a video once more: the same picture, ticket and seed, as a new job.

    RECEIPT is a receipt.json of the outbox, or its folder; the source picture lies beside it.
    """
    file = receipt / "receipt.json" if receipt.is_dir() else receipt
    told = _read(file)
    pictures = sorted(file.parent.glob("source.*")) + sorted(file.parent.glob("source-end.*"))
    if not pictures:
        raise ZoetropeError(
            f"There is no source picture beside {file}.",
            "Give the receipt in its own outbox folder.",
            key="receipt",
        )
    client = options.client()
    end = pictures[1] if len(pictures) > 1 else None
    content = client.upload(pictures[0], ticket_of(told), end=end, parent=str(told["job"]))
    job = decode(content, JobView)
    if not options.json:
        click.echo(f"{job.short} repeats {told['job'][:8]}: {show.coloured(job.state)}")
    if not sync:
        if options.json:
            click.echo(content)
        return 0
    (ended,), failed = follow(client, [job], quiet=options.json)
    if failed:
        return 1
    return _compare(client, ended, told, options)


def ticket_of(told: dict[str, Any]) -> dict[str, Any]:
    """Turn a receipt into the ticket that asks for the same: the seed made explicit, no second review."""
    # What its presets stood for then is said by the other values.
    unsaid = {"parameters", "preset"}
    ticket = {key: value for key, value in told["ticket"].items() if key not in unsaid}
    return {
        **ticket,
        **told["ticket"].get("parameters", {}),
        "seed": told["seed"] if "seed" in told else told["plan"]["seed"],
        "review": False,
    }


def digests(stages: list[dict[str, Any]]) -> dict[str, str]:
    """Name the graph that each stage ended with."""
    return {stage["name"]: stage["attempts"][-1].get("graph", "") for stage in stages}


def _compare(client: Client, job: JobView, told: dict[str, Any], options: Options) -> int:
    now = json.loads(client.job(job.id))
    new = json.loads((Path(now["outbox"]) / "receipt.json").read_text(encoding="utf-8"))
    before, after = digests(told["stages"]), digests(new["stages"])
    other = [name for name in before if before[name] != after.get(name)]
    if options.json:
        click.echo(json.dumps({"job": job.id, "same": not other, "changed": other}))
    elif other:
        click.echo(
            f"The graph of {', '.join(other)} is another one than then: the recipe, its pixel budget"
            " or the rungs of the ladder have changed."
        )
    else:
        click.echo("The graphs are the same as then, seed included.")
    return 0


def _read(file: Path) -> dict[str, Any]:
    told: Any = None
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(told, dict) or told.get("schema") != 1 or not told.get("stages"):
        raise ZoetropeError(
            f"{file} is no receipt of zoetrope.",
            "Give a receipt.json of the outbox.",
            key="receipt",
        )
    return told
