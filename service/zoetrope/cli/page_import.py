"""`zoetrope import`: a workflow as ComfyUI's page saves it becomes the graph that the page would submit."""

from __future__ import annotations

from pathlib import Path

import click

from ..graphs.page_format.remark import Remark
from .options import local

_PARTIAL = Remark(
    "partial-catalogue",
    "a recorded catalogue lacks some of what the page goes by (which numbers have a control next to them, "
    "names of nodes, random parts of prompts); values may stand in the wrong places. "
    "Use --engine URL, or --catalog with a saved answer of ComfyUI's /object_info.",
)


@click.command(
    "import",
    epilog="\b\nExample:\n  zoetrope import workflow.json -o api.json\n  zoetrope import workflow.json --engine http://127.0.0.1:8188",
)
@click.argument("file", metavar="FILE")
@click.option("--catalog", metavar="VERSION|FILE", help="Use these recorded nodes, or a saved answer of /object_info, instead of the pinned version's.")  # fmt: skip
@click.option("--engine", metavar="URL", help="Take the nodes from a running ComfyUI.")
@click.option("-o", "--output", metavar="FILE", help="Write to this file instead of the terminal.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@local
def page_import(
    file: str, catalog: str | None, engine: str | None, output: str | None, strict: bool
) -> int:
    """Convert a workflow that ComfyUI's page saved into the API format that its page would submit.

    FILE is a workflow in JSON; one in API format already comes out as it is. The result goes to the terminal, and what
    is doubtful in it to standard error. Exit with 1 if there is an error, and with 2 if FILE cannot be read.
    """
    import msgspec

    from ..errors import RecipeError

    try:
        graph, remarks = _converted(Path(file), catalog, engine)
    except (OSError, RecipeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        click.echo(f"zoetrope: {f'{file}: {why}' if isinstance(error, OSError) else why}", err=True)
        return 2
    for remark in remarks:
        click.echo(f"{file}: {'error' if remark.error else 'warning'}: {remark}", err=True)
    if graph is not None:
        text = msgspec.json.format(msgspec.json.encode(graph), indent=2)
        if output is None:
            click.echo(text.decode())
        else:
            Path(output).write_bytes(text + b"\n")
    return int(graph is None or any(remark.error or strict for remark in remarks))


# The command's name is a word of Python, so that no function can bear it.
globals()["import"] = page_import


def _converted(
    file: Path, catalog: str | None, engine: str | None
) -> tuple[dict[str, object] | None, tuple[Remark, ...]]:
    """Read a workflow of either format."""
    import random
    from datetime import datetime

    from ..graphs import document
    from ..graphs.page_format.conversion import convert
    from .page_classes import asked, recorded

    if file.stat().st_size > document.MOST_BYTES:  # before it is read: the reader says the rest
        raise document.oversized(str(file))
    found = document.parse(file.read_bytes(), str(file))
    if found.page is None:
        return document.encode(document.checked(found, str(file))), ()
    classes, frontend, whole = asked(engine) if engine else recorded(catalog)
    made = convert(
        found.page,
        classes,
        frontend,
        now=datetime.now().astimezone(),
        choose=random.SystemRandom().choice,
        origin=str(file),
    )
    remarks = made.findings if whole else (*made.findings, _PARTIAL)
    return made.plain, remarks
