"""Where a claim's pictures are, when one of them is missed: removed by a user, or out of reach with its share."""

from __future__ import annotations

from enum import StrEnum

from ..beneath import Beneath, Linked
from ..errors import Reason
from ..host import shown
from .claim import Claim


class Whereabouts(StrEnum):
    """Where the pictures of a claim are."""

    HERE = "here"
    REMOVED = "removed"
    AWAY = "away"  # the folder that holds the claim is not there, and may come back with all that it holds


def find(claim: Claim) -> Whereabouts:
    """Distinguish a removed picture from an inbox that is away, or hidden by another one: a share that was unmounted."""
    try:
        with Beneath(claim.inbox) as tree:
            if tree.identity(claim.home.rpartition("/")[0]) != claim.within:
                return Whereabouts.AWAY
            here = all(tree.exists(claim.at(path)) for path in claim.pictures)
    except (FileNotFoundError, NotADirectoryError, Linked):
        return Whereabouts.AWAY
    return Whereabouts.HERE if here else Whereabouts.REMOVED


def away(claim: Claim) -> Reason:
    """Say that a claim cannot be reached, though its files were not removed."""
    return Reason(
        "picture-away",
        f"{shown(str(claim.inbox))} is not the folder in which it was taken: a disk or share is not"
        " mounted, or another one is.",
        "Mount it again; the picture is taken by itself.",
    )
