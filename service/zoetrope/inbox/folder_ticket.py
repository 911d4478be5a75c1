"""A folder's own ticket: defaults for every picture in it, whoever dropped them and whoever wrote the ticket.

One that cannot be used rejects nothing. The pictures wait, which loses no work of anybody, and the reason
names the file and its owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..beneath import Linked, Place
from ..errors import NotReadable, Rejected, ZoetropeError
from ..graphs.shelf import Recipes
from ..host import shown, user_name
from ..jobs.preflight import requests
from ..settings import Settings
from . import ticket as tickets
from .entry import DEFAULTS, joined


class BadFolderTicket(NotReadable):
    """The ticket of a whole folder cannot be used; the pictures in it wait until it can, or is gone."""

    key = "folder-ticket"

    def __init__(self, place: Place, owner: str, fault: ZoetropeError) -> None:
        super().__init__(
            f"The ticket {shown(place.path)}, which counts for every picture in its folder and belongs to"
            f" {owner}, cannot be used: {fault.reason.sentence}",
            "Fix or remove it; until then the folder's pictures wait, and go on by themselves.",
        )


def read(inbox: Path, folder: str) -> dict[str, Any]:
    """Read a folder's defaults; none where there is no ticket, and BadFolderTicket where it is of no use."""
    place = Place(inbox, joined(folder, DEFAULTS))
    try:
        return tickets.read(place)
    except FileNotFoundError:
        return {}
    except (Rejected, NotReadable) as fault:
        raise BadFolderTicket(place, _owner(place), fault) from fault


def check(settings: Settings, recipes: Recipes, folder: str, values: Mapping[str, Any]) -> None:
    """Raise BadFolderTicket if a picture could not be taken with a folder's defaults alone."""
    if not values:
        return
    default = settings.recipes.default
    place = Place(settings.inbox.path, joined(folder, DEFAULTS))
    try:
        recipe = tickets.find(recipes, values, folder, default)
        # As it would be with a picture of the usual shape.
        next(requests(recipe, tickets.resolve(values, recipe), 0.0), None)
    except Rejected as fault:
        # The name of a folder that is no recipe's is no matter of its ticket.
        if fault.reason.key != "recipe-unknown" or "recipe" in values:
            raise BadFolderTicket(place, _owner(place), fault) from fault


def _owner(place: Place) -> str:
    try:
        return user_name(place.stat().st_uid)
    except (OSError, Linked):
        return "an unknown user"
