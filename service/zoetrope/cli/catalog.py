"""`zoetrope catalog`: the node signatures of a ComfyUI, recorded and compared."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Options, local, pass_options


@click.group(epilog="\b\nExample:\n  zoetrope catalog drift 0.3.64")
@local
def catalog() -> None:
    """Record the node signatures of a ComfyUI, and compare two versions of them."""


@catalog.command(
    short_help="Record a running ComfyUI's nodes.",
    epilog="\b\nExample:\n  zoetrope catalog record --engine http://127.0.0.1:8188 -o mine.json",
)
@click.option("--engine", metavar="URL", required=True, help="The address of the ComfyUI.")
@click.option("-o", "--output", metavar="FILE", help="Write to this file instead of the terminal.")  # fmt: skip
@local
def record(engine: str, output: str | None) -> int:
    """Record the nodes of a running ComfyUI in a file, for `zoetrope lint --catalog FILE`."""
    from ..graphs.catalog import encode
    from .nodes import fetch

    found = fetch(engine)
    text = encode(found)
    if output is None:
        click.echo(text.decode(), nl=False)
    else:
        Path(output).write_bytes(text)
        click.echo(f"Wrote {len(found.nodes)} nodes of ComfyUI {found.comfyui} to {output}.")
    return 0


@catalog.command(
    short_help="Show what changed since another version.",
    epilog="\b\nExample:\n  zoetrope catalog drift 0.8.0 --node KSamplerAdvanced",
)
@click.argument("old", metavar="VERSION|FILE")
@click.argument("new", metavar="[VERSION|FILE]", required=False)
@click.option("--node", multiple=True, metavar="CLASS", help="Only this node; may be repeated.")
@local
@pass_options
def drift(options: Options, old: str, new: str | None, node: tuple[str, ...]) -> int:
    """Show changes of nodes that can break a workflow made for the first version in the second.

    The second is the pinned version by default. The newest two recorded versions have all their nodes, 0.3.64 and
    0.8.0 those that the recipes use.
    """
    import msgspec

    from ..graphs.catalog import PINNED
    from ..graphs.drift import drift as compare
    from .nodes import named

    changes = compare(named(old), named(new or PINNED), node)
    if options.json:
        click.echo(msgspec.json.encode(changes))
        return 0
    for change in changes:
        click.echo(f"{change.node}: {change.what}")
    if not changes:
        click.echo("No changes.")
    return 0
