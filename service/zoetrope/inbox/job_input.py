"""A job's input: the pictures and ticket values that one job is to be made from, wherever they came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..beneath import Place
from ..errors import Rejected
from ..file_names import safe_stem
from ..host import shown
from . import folder_ticket
from . import ticket as tickets
from .claim import Claim
from .entry import ELSEWHERE, EntryKind, classify
from .request_key import RequestKey


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a job's input: where its bytes lie, and what the person called it."""

    file: Place
    name: str
    half: str = ""


class JobInput(msgspec.Struct, frozen=True, kw_only=True):
    """What one job is to be made from; all its texts are fit for the ledger."""

    id: str  # of the claim, and of the job if it becomes one
    claims: tuple[str, ...] = ()  # further ids under which these files are known
    parts: tuple[Part, ...]
    folder: str = ""
    stem: str
    origin: str = "inbox"
    values: Mapping[str, Any] = {}
    own_ticket: bool = False
    arrived: float = 0.0
    parent: str = ""  # the job that is repeated; then the same picture is no duplicate
    request: str = ""  # what asked for it under a key of its own
    version: str = ""  # of the recipe, where it is not to be the one that has the name now
    seed: int | None = None  # where the ticket has none and it is not to be a random one


def keyed(job_input: JobInput, key: RequestKey | None) -> JobInput:
    """Have a job input's job known by the key of the request that brings it."""
    if key is None:
        return job_input
    return msgspec.structs.replace(
        job_input, claims=(*job_input.claims, key.claim), request=str(key)
    )


def from_claim(claim: Claim, arrived: float) -> JobInput:
    """Make a job's input of claimed files; the ticket's values are read apart, since that can fail."""
    entries = [classify(path) for path in claim.pictures]
    return JobInput(
        id=claim.id,
        claims=claim.others,
        parts=tuple(Part(file=claim.place(e.path), name=e.name, half=e.half) for e in entries),
        folder=shown(entries[0].folder),
        stem=safe_stem(entries[0].stem),
        own_ticket=bool(claim.tickets),
        arrived=arrived,
    )


def from_upload(
    new_id: str,
    files: tuple[tuple[Path, str], ...],
    values: Mapping[str, Any],
    parent: str = "",
    *,
    stem: str = "",
) -> JobInput:
    """Make a job's input of uploaded files; with two of them, the second is the last frame.

    Without a stem, the first one's name says it.
    """
    halves = ("start", "end") if len(files) > 1 else ("",)
    base, dot, _ = files[0][1].rpartition("/")[2].rpartition(".")
    return JobInput(
        id=new_id,
        parts=tuple(
            Part(file=Place(file.parent, file.name), name=name, half=half)
            for (file, name), half in zip(files, halves, strict=True)
        ),
        # One of a job of an earlier version may be longer than a stem is now.
        stem=safe_stem(stem or (base if dot else files[0][1])),
        origin="api",
        values=values,
        own_ticket=True,
        parent=parent,
    )


def read_defaults(claim: Claim, inbox: Path) -> dict[str, Any]:
    """Read what counts for every picture of a claim's folder; one in no recipe's folder is Rejected.

    Defaults that cannot be read are nobody's picture's fault: they raise BadFolderTicket.
    """
    if classify(claim.pictures[0]).kind is EntryKind.DEEP:
        raise Rejected(
            f"The folder {shown(claim.folder)!r} lies too deep: a folder of the inbox names a recipe"
            " and has no folders of its own.",
            ELSEWHERE,
            key="folder-deep",
        )
    return folder_ticket.read(inbox, claim.folder)


def read_values(claim: Claim, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a claim's own tickets say, laid on its folder's defaults; Rejected if that cannot be used."""
    values = dict(defaults)
    # The first ticket says most, so it is laid on last.
    for path in reversed(claim.tickets):
        values = tickets.overlay(values, tickets.read(claim.place(path)))
    return values
