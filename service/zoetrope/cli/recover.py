"""`zoetrope recover`: the work that the ledger knows nothing of, and how it becomes jobs again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from . import show
from .each import each
from .options import Options, common, pass_options

if TYPE_CHECKING:
    from ..client import Client
    from ..jobs.lost_work import LostNote
    from ..web.lost_views import LostPage


@click.command(epilog="\b\nExample:\n  zoetrope recover --all")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Make jobs of all that waits, but of what a user had cancelled or declined.",
)
@common
@pass_options
def recover(options: Options, ids: tuple[str, ...], everything: bool) -> int:
    """List work without a row in the ledger, or make jobs of it again, with the same tickets.

    Such work is there after an earlier ledger was restored, or a new one begun. It waits in lost+found in the
    service's state folder and is never removed by itself. Work whose video is in the outbox already is not made
    again.
    """
    if ids and everything:
        raise click.UsageError("Give IDs, or --all, and not both.")
    client = options.client()
    if not ids and not everything:
        return _list(client, options)
    return each(
        options,
        ids or [n.job for page in list(_pages(client)) for n in page.lost if not n.ended],
        client.recover,
        lambda lost, job: (
            f"{lost[:8]} is job {job.short} {show.clean(job.name)}: {show.coloured(job.state)}"
        ),
    )


def _list(client: Client, options: Options) -> int:
    pages = list(_pages(client))
    notes = [note for page in pages for note in page.lost]
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(notes))
        return 0
    if not notes:
        click.echo("No work waits in lost+found.")
        return 0
    head = ("ID", "PICTURE", "RECIPE", "ACCEPTED", "REMARK")
    for line in show.table(head, [_row(note) for note in notes]):
        click.echo(line)
    click.echo(f"In {show.clean(pages[0].folder)}; next: zoetrope recover ID..., or --all")
    return 0


def _pages(client: Client) -> Iterator[LostPage]:
    from ..client import decode
    from ..web.lost_views import LostPage

    query: dict[str, str | int] = {"limit": 200}
    while True:
        page = decode(client.get("/api/v1/lost", **query), LostPage)
        yield page
        if page.next is None:
            return
        query["after"] = page.next


def _row(note: LostNote) -> tuple[str, ...]:
    names = ", ".join(picture.name for picture in note.pictures)
    return (
        note.job[:8],
        names or note.stem,
        note.ticket.recipe if note.ticket else "?",
        show.ago(note.accepted) if note.accepted else "?",
        f"its video is {note.video}"
        if note.video
        else f"{note.ended} by a user"
        if note.ended
        else "",
    )
