"""The host's own trouble: a full disk or a folder that cannot be written is never a picture's fault."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from ..beneath import Beneath, Linked
from ..errors import DiskFull, Reason, ZoetropeError, is_disk_full
from ..host import place_of, shown, trouble
from ..jobs.room import first_short
from ..settings import Settings
from .entry import CLAIMED, REFUSED, rejected_from

_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def trouble_of(error: BaseException, settings: Settings) -> Reason:
    """Say what keeps the inbox from going on, and what a person can do."""
    if is_disk_full(error) and not isinstance(error, DiskFull):
        return Reason(
            "disk-full",
            f"There is no room left for {shown(str(place_of(error) or settings.state.path))}.",
            "Free some space; the inbox goes on by itself.",
        )
    if isinstance(error, ZoetropeError):
        return error.reason
    place = place_of(error)
    inside = place is not None and place.is_relative_to(settings.inbox.path)
    code = error.errno if isinstance(error, OSError) else None
    if code in _FORBIDDEN and inside:
        return Reason(
            "inbox-readonly",
            f"{shown(str(place))}, in the inbox, cannot be moved or created ({_words(error)}).",
            'Make its folder writable for the service, or set inbox.claim = "copy".',
        )
    if inside and not settings.inbox.path.is_dir():
        return Reason(
            "inbox-missing",
            f"The inbox {settings.inbox.path} is not there.",
            "Make the folder, or mount what holds it; pictures are taken as soon as it is back.",
        )
    if code in _FORBIDDEN:
        return Reason(
            "state-unwritable",
            f"{shown(str(place or settings.state.path))} cannot be written ({_words(error)}).",
            "Give the folder to the service's user.",
        )
    return trouble(error) or Reason(
        "inbox-trouble",
        f"The inbox cannot go on: {error}.",
        "Check the disk or share; the inbox tries again by itself.",
    )


def closed_alone(error: OSError, inbox: Path, folder: str, home: str = "") -> Reason | None:
    """Say what keeps one folder's pictures waiting and no others; None for the trouble of the whole inbox.

    Whoever may write into the inbox makes folders there, and in `rejected`, and may close them to us. Where
    claims are open to members, that holds for the claim's own folder (`home`) as well.
    """
    place = place_of(error)
    if not (folder or home) or error.errno not in _FORBIDDEN or place is None:
        return None
    if not place.is_relative_to(inbox):
        return None
    with contextlib.suppress(OSError, Linked), Beneath(inbox) as tree:
        ours = [path for path in (CLAIMED, REFUSED) if tree.exists(path)]
        if all(tree.changeable(path) for path in ("", *ours)):
            into = place.is_relative_to(inbox / REFUSED)
            if not folder or (home and not into and _is_closed(tree, f"{home}/{folder}")):
                return closed(REFUSED, "into") if into else closed(home, "out of")
            return closed(rejected_from(folder), "into") if into else closed(folder, "out of")
    return None


def _is_closed(tree: Beneath, folder: str) -> bool:
    """Return whether a folder keeps what lies in it."""
    try:
        return not tree.changeable(folder)
    except OSError as error:
        return error.errno in _FORBIDDEN


def closed(folder: str, way: str) -> Reason:
    """Say that files cannot be moved into or out of one folder of the inbox."""
    return Reason(
        "folder-closed",
        f"Files cannot be moved {way} the folder {shown(folder)!r} of the inbox.",
        "Make it writable for the service's group, without the sticky bit:"
        f" chmod g+rwx,-t {shown(folder)}; pictures elsewhere are taken meanwhile.",
    )


def find_room(settings: Settings) -> None:
    """Make the work folder, and raise when its disk has less room left than is kept free."""
    settings.work.mkdir(parents=True, exist_ok=True)
    if (reason := first_short(settings, settings.state.path, settings.work)) is not None:
        raise DiskFull(reason.sentence, reason.next_step)


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
