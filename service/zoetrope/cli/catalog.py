"""`zoetrope catalog`: the node signatures of a ComfyUI, recorded and compared."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Options, common, pass_options


@click.group(epilog="\b\nExample:\n  zoetrope catalog drift 0.3.64")
@common
def catalog() -> None:
    """Record the node signatures of a ComfyUI, and see what changed between two."""


@catalog.command(
    short_help="Record a running ComfyUI's nodes.",
    epilog="\b\nExample:\n  zoetrope catalog record --engine http://127.0.0.1:8188 -o mine.json",
)
@click.option("--engine", metavar="URL", required=True, help="The ComfyUI to ask.")
@click.option("-o", "--output", metavar="FILE", help="Where to write it; without it, to the terminal.")  # fmt: skip
@common
def record(engine: str, output: str | None) -> int:
    """Record a running ComfyUI's nodes, for `zoetrope lint --catalog FILE`."""
    from ..graphs.catalog import encode
    from .nodes import fetch

    found = fetch(engine)
    text = encode(found)
    if output is None:
        click.echo(text.decode(), nl=False)
    else:
        Path(output).write_bytes(text)
        click.echo(f"{len(found.nodes)} nodes of ComfyUI {found.comfyui} are in {output}.")
    return 0


@catalog.command(
    short_help="Show what changed since another version.",
    epilog="\b\nExample:\n  zoetrope catalog drift 0.8.0 --node KSamplerAdvanced",
)
@click.argument("old", metavar="VERSION|FILE")
@click.argument("new", metavar="[VERSION|FILE]", required=False)
@click.option("--node", multiple=True, metavar="CLASS", help="This node alone; may be repeated.")
@common
@pass_options
def drift(options: Options, old: str, new: str | None, node: tuple[str, ...]) -> int:
    """Show what a graph for one version may trip over in another, by default the pinned one.

    Recorded are the pinned version wholly, and of 0.3.64 and 0.8.0 the nodes that the recipes use.
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
        click.echo("Nothing changed.")
    return 0
