"""`zoetrope recover`: the work that the ledger knows nothing of, how it becomes jobs again, and how it goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ..errors import NotFound
from . import show
from .each import each
from .options import Options, common, pass_options

if TYPE_CHECKING:
    from ..client import Client
    from ..jobs.lost_work import LostNote
    from ..web.lost_views import LostPage


@click.command(
    epilog="\b\nExample:\n  zoetrope recover --all\n  zoetrope recover --discard 1f3a9c2e"
)
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Make jobs of all that waits, but of what a user had cancelled or declined.",
)
@click.option(
    "--discard",
    is_flag=True,
    help="Remove the work of IDs for good, pictures and all, instead of making jobs of it.",
)
@click.option("--yes", is_flag=True, help="Discard without asking.")
@common
@pass_options
def recover(
    options: Options, ids: tuple[str, ...], everything: bool, discard: bool, yes: bool
) -> int:
    """List work without a row in the ledger, make jobs of it again with the same tickets, or discard it.

    Such work is there after an earlier ledger was restored, or a new one begun. It waits in lost+found in the
    service's state folder and is never removed by itself. Work whose video is in the outbox already is not made
    again.
    """
    if ids and everything:
        raise click.UsageError("Give IDs, or --all, and not both.")
    if discard and not ids:
        raise click.UsageError("Name what to discard: zoetrope recover --discard ID...")
    if yes and not discard:
        raise click.UsageError("--yes goes with --discard.")
    if discard and not yes and not on_terminal():
        raise click.UsageError("No terminal to ask on: add --yes to discard without asking.")
    client = options.client()
    if discard:
        return _discard(client, options, ids, ask=not yes)
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
    head = ("ID", "PICTURE", "RECIPE", "ACCEPTED", "SIZE", "REMARK")
    for line in show.table(head, [_row(note) for note in notes]):
        click.echo(line)
    click.echo(
        f"In {show.clean(pages[0].folder)}; next: zoetrope recover ID..., --all, or --discard ID..."
    )
    return 0


def _discard(client: Client, options: Options, ids: Sequence[str], *, ask: bool) -> int:
    """Remove what is named, once all of it is found and a user has seen what it is."""
    from ..client import decode
    from ..jobs.keep import amount
    from ..jobs.lost_work import LostNote

    notes = _named([note for page in _pages(client) for note in page.lost], ids)
    if ask:
        for note in notes:
            click.echo(f"{note.job[:8]}  {_names(note)}, {amount(note.size)}", err=True)
        what = "the work of 1 job" if len(notes) == 1 else f"the work of {len(notes)} jobs"
        total = amount(sum(note.size for note in notes))
        if not click.confirm(f"Remove {what} for good? It frees {total}.", err=True):
            click.echo("Nothing was removed.", err=True)
            return 1
    gone = []
    for note in notes:
        gone.append(decode(client.discard(note.job), LostNote))
        if not options.json:
            click.echo(f"{note.job[:8]} {_names(note)} is removed; that freed {amount(note.size)}.")
    if options.json:
        import msgspec

        click.echo(msgspec.json.encode(gone))
    return 0


def on_terminal() -> bool:
    """Return whether there is a user to ask."""
    return sys.stdin.isatty()


def _named(notes: Sequence[LostNote], ids: Sequence[str]) -> list[LostNote]:
    """Find the work that ids begin; if one is not there, or not certain, nothing is removed."""
    found: dict[str, LostNote] = {}
    for prefix in ids:
        fits = [note for note in notes if prefix and note.job.startswith(prefix.lower())]
        if len(fits) != 1:
            what = (
                f"begins the ids of {len(fits)} pieces of lost work" if fits else "is no lost work"
            )
            raise NotFound(
                f"{show.clean(prefix)[:40]!r} {what}, so nothing was removed.",
                "`zoetrope recover` lists what there is.",
                key="lost-unknown",
            )
        found[fits[0].job] = fits[0]
    return list(found.values())


def _names(note: LostNote) -> str:
    return show.clean(", ".join(picture.name for picture in note.pictures) or note.stem)


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
    from ..jobs.keep import amount

    return (
        note.job[:8],
        _names(note),
        note.ticket.recipe if note.ticket else "?",
        show.ago(note.accepted) if note.accepted else "?",
        amount(note.size),
        f"its video is {note.video}"
        if note.video
        else f"{note.ended} by a user"
        if note.ended
        else "",
    )
